"""`reformer score`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reformer.cli.files import check_output_file
from reformer.cli.options import RunFolder

if TYPE_CHECKING:
    from rich.console import Console

    from reformer.data import Stretch


def score(
    run: RunFolder,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help="Texts of any size, also .gz, folders with all below them, or patterns."
        ),
    ],
    state: Annotated[
        Path | None,
        typer.Option(help="A safetensors file for the state; if it exists, scoring goes on from it."),
    ] = None,
    per_token: Annotated[
        Path | None, typer.Option(help="Write every token's bytes and bits here, .jsonl or .parquet.")
    ] = None,
    piece: Annotated[int, typer.Option(min=1, max=1 << 30, help="Bytes to read at a time.")] = 16384,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the scores as JSON here, too.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the files of --output and --per-token.")
    ] = False,
) -> None:
    """Bits a byte and perplexity of texts, each read in one pass from the first byte to the last.

    With local and hashed layers the memory does not grow with the text. Ctrl-C or a termination request stops; with
    `--state`, the same command goes on from there, and every number is as if it had not been stopped.
    """
    import json

    from rich.table import Table

    from reformer.data.inputs import find_inputs
    from reformer.files import replaced
    from reformer.inference.scoring import find_texts
    from reformer.inference.scoring import score as score_texts
    from reformer.runs.loading import load_run
    from reformer.tasks.language_modelling import LanguageModelling
    from reformer.terminal import PlainConsole

    check_output_file(output, [*files, state, per_token], run, overwrite=overwrite)
    # Whether these may be there already, the scoring knows.
    check_output_file(per_token, [*files, state], run, overwrite=True)
    check_output_file(state, files, run, overwrite=True)
    files = find_inputs(files, lambda name: True, whole_folders=False)
    for file, replaced_unasked in ((output, overwrite), (per_token, True), (state, True)):
        check_output_file(file, files, run, overwrite=replaced_unasked)
    texts = find_texts(files)
    loaded = load_run(run, LanguageModelling)
    console = PlainConsole(stderr=True)
    if "full" in loaded.model.config.attention_kinds:
        console.print("this model has full attention: its memory grows with the text")
    with _progress(console, texts) as show:
        results = score_texts(
            loaded, texts, piece=piece, state=state, per_token=per_token, overwrite=overwrite, on_progress=show
        )
    table = Table()
    table.add_column("file", overflow="fold")
    for name in ("bytes", "tokens", "bits/byte", "perplexity"):
        table.add_column(name, justify="right")
    for result in results:
        table.add_row(
            result["file"],
            f"{result['bytes']:,}",
            f"{result['tokens']:,}",
            f"{result['bits_per_byte']:.4f}",
            f"{result['perplexity']:.4f}",
        )
    PlainConsole().print(table)
    if output is not None:
        with replaced(output, overwrite=overwrite) as file:
            file.write((json.dumps(results, ensure_ascii=False, indent=2) + "\n").encode())


@contextmanager
def _progress(console: "Console", texts: "list[Stretch]") -> "Iterator[Callable[[Stretch, dict[str, Any]], None]]":
    """A bar over the bytes of all texts, with the figure of the text that is being read."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.percentage:3.0f}%"),
        BarColumn(bar_width=30),
        TextColumn("{task.description}", markup=False),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    before = {id(text): sum(map(len, texts[:number])) for number, text in enumerate(texts)}
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("loading", total=sum(map(len, texts)))

        def show(text: "Stretch", result: dict[str, Any]) -> None:
            bar.update(
                task,
                completed=before[id(text)] + result["bytes"],
                description=f"{text.name}  {result['bits_per_byte']:.4f} bits/byte",
            )

        yield show
