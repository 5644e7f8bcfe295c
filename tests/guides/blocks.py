"""Code blocks of a page of Markdown, with what its comments say about testing them.

`<!-- test: given: NAME ... -->` names files and runs that the reader has before the first block. Before a block stand

- `<!-- test: not run: REASON -->`;
- `<!-- test: OLD => NEW -->`: the test runs NEW where the page says OLD, such as a training of two steps. NEW may be
  `: REASON`, which does nothing.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMANDS = ("sh", "bash", "console", "shell")

_FENCE = re.compile(r"( *)```(\w*)\n(.*?)\n\1```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- test: (.*?) -->\n\s*")
_GIVEN = "given: "


@dataclass(frozen=True)
class Block:
    """A code block: its language, its lines as the page has them, and as they are run."""

    page: str
    line: int
    language: str
    text: str
    run: str
    reason: str | None = None
    """Why it is not run, if it is not."""
    left_out: tuple[str, ...] = ()
    """What of it is not run, though the rest is."""

    @property
    def is_commands(self) -> bool:
        return self.language in COMMANDS

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """README and all guides, as paths from the root."""
    return ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs/guides").glob("*.md"))]


def given(page: str) -> list[str]:
    """The files and runs that a page takes for granted."""
    marks: list[str] = _MARK.findall((ROOT / page).read_text(encoding="utf-8"))
    return [name for mark in marks if mark.startswith(_GIVEN) for name in mark.removeprefix(_GIVEN).split()]


def blocks(page: str, text: str | None = None) -> list[Block]:
    """The code blocks of a page, in order.

    Raises:
        ValueError: a comment is for no block, says neither of the two things, or what it replaces is not there.
    """
    text = (ROOT / page).read_text(encoding="utf-8") if text is None else text
    found, used = [], 0
    for fence in _FENCE.finditer(text):
        indent, language, body = fence.groups()
        lines = "\n".join(line.removeprefix(indent) for line in body.split("\n"))
        run, reason, left_out = lines, None, list[str]()
        for mark in _marks_before(text, fence.start()):
            used += 1
            old, arrow, new = mark.partition(" => ")
            if mark.startswith(_GIVEN):
                continue
            if mark.startswith("not run: "):
                reason = mark.removeprefix("not run: ")
            elif arrow and old in run:
                run = run.replace(old, new)
                left_out += [old] if new.startswith(":") else []
            else:
                raise ValueError(f"{page}: nothing to do for the comment {mark!r}")
        line = text.count("\n", 0, fence.start()) + 1
        found.append(Block(page, line, language, lines, run, reason, tuple(left_out)))
    if used != len(_MARK.findall(text)):
        raise ValueError(f"{page}: a comment for the test stands before no block")
    return found


def _marks_before(text: str, end: int) -> list[str]:
    """What the comments right before this place say, in order."""
    found: list[str] = []
    while True:
        last = [mark for mark in _MARK.finditer(text, 0, end) if mark.end() == end]
        if not last:
            return found[::-1]
        found.append(last[0][1])
        end = last[0].start()
