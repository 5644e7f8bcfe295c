"""Text of users on a terminal: shown as it is, never read as markup, never obeyed."""

import ast
import io
import json
import logging
import unicodedata
import warnings
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

import reformer
from reformer.terminal import PlainConsole, printable, say, show_messages_plainly

SOURCE = Path(reformer.__file__).parent

ESCAPES = (
    "\x1b]0;TITLE\x07\x1b[2J\x1b[31mRED\x1b]8;;http://evil\x07link\x1b]8;;\x07 Paris\x9b31m \x1b]52;c;ZXZpbA==\x07"
)


def _shown(*renderables: object, **options) -> str:
    stream = io.StringIO()
    # As in a terminal with colours, where rich would write its own sequences, too.
    PlainConsole(file=stream, width=200, **options).print(*renderables, soft_wrap=True)
    return stream.getvalue()


@pytest.mark.parametrize("text", ["[/b]", "[red]x", "[bold]a[/bold]", ":smile:", "a\\[b", "[link=http://evil]x[/link]"])
def test_markup_is_text(text):
    assert _shown(text) == text + "\n"
    table = Table(text, title=text)
    table.add_row(text)
    assert _shown(table).count(text) == 3


def test_control_characters_are_shown_and_not_obeyed():
    for shown in (_shown(ESCAPES), _shown(Text(ESCAPES)), printable(ESCAPES)):
        assert not [each for each in shown if unicodedata.category(each) == "Cc" and each != "\n"]
        assert "\\u001b[31mRED" in shown
        assert "\\u009b31m" in shown
    assert "\\u0007" in _shown(ESCAPES)


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), *range(0x2028, 0x202F), 0x200E, 0x2067, 0xDC80])
def test_every_control_is_an_escape_of_json(code):
    text = f"a{chr(code)}b"
    assert printable(text, keep="") == f"a\\u{code:04x}b"
    assert json.loads(f'"{printable(text, keep="")}"') == text
    assert printable(text) == (text if chr(code) in "\n\t" else printable(text, keep=""))


@pytest.mark.parametrize("text", ["北京 é 👩‍👩‍👧 नमस्ते", "שלום", "a\nb\tc"])
def test_writing_is_left_as_it_is(text):
    assert printable(text) == text


def test_the_consoles_own_colours_are_obeyed():
    shown = _shown(Text("a\x1bb", "red"), force_terminal=True, color_system="standard", no_color=False)
    assert shown == "\x1b[31ma\\u001bb\x1b[0m\n"


def test_any_console_can_be_made_to_say_text_as_it_is():
    stream = io.StringIO()
    say(Console(file=stream, width=200), "[/b] :smile: \x1b[2J[red]x")
    assert stream.getvalue() == "[/b] :smile: \\u001b[2J[red]x\n"


def test_warnings_and_log_of_any_library_write_no_control(monkeypatch, caplog):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    before = logging.getLogRecordFactory()
    try:
        show_messages_plainly()
        assert "a\\u001b[2Jb" in warnings.formatwarning("a\x1b[2Jb", UserWarning, "file.py", 1)
        logging.getLogger("transformers.any").error("a %s of %d", "\x1b[2J", 3)
        # `logging` itself tells of arguments that do not fit, when it writes.
        assert logging.getLogRecordFactory()("any", 40, "file.py", 1, "%d", ("x",), None).args == ("x",)
    finally:
        logging.setLogRecordFactory(before)
    assert caplog.messages == ["a \\u001b[2J of 3"]


WRITERS = ("print", "rich.print", "typer.echo", "typer.secho", "click.echo", "sys.stdout.write", "sys.stderr.write")


def _writes_as_it_comes(call: ast.Call, *, in_cli: bool) -> bool:
    """Whether a call may pass markup or controls on."""
    called, text = ast.unparse(call.func), ast.unparse(call)
    names = {part.id for part in ast.walk(call) if isinstance(part, ast.Name)}
    if called in WRITERS:
        return "printable" not in names
    if called in ("Console", "rich.console.Console"):
        return "quiet=True" not in text
    if called == "TextColumn":
        return "task.description" in text and "markup=False" not in text
    # In the commands every console is plain; `say` is for one that a caller of the library hands in.
    return called.endswith("console.print") and not in_cli


def _wrong_calls(source: str, *, in_cli: bool = False) -> list[str]:
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [ast.unparse(call) for call in calls if _writes_as_it_comes(call, in_cli=in_cli)]


def test_nothing_else_writes_to_a_terminal():
    """Elsewhere a console would read the text of users as markup, and a bare print would pass its controls on."""
    wrong = {
        str(file): found
        for file in SOURCE.rglob("*.py")
        if file != SOURCE / "terminal.py"
        and (found := _wrong_calls(file.read_text(encoding="utf-8"), in_cli=file.parent.name == "cli"))
    }
    assert wrong == {}


@pytest.mark.parametrize(
    "source", ["print(f'{x}')", "Console().print(x)", "typer.echo(x)", "self._console.print(x)", "sys.stdout.write(x)"]
)
def test_a_bare_write_is_found(source):
    assert _wrong_calls(source)
