"""`reformer inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reformer.cli.files import check_output_file
from reformer.cli.lean_start import start_lean
from reformer.cli.options import MAX_COUNT, Encoding, Format, RunFolder, Split, TextColumn
from reformer.cli.progress import steps
from reformer.errors import ReformerError

if TYPE_CHECKING:
    from reformer.insight.inspect import InspectReport
    from reformer.terminal import PlainConsole

MOST_DOCUMENTS, MOST_QUERIES = 10_000, 4096


def inspect(
    run: RunFolder,
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE...",
            help="Files, folders or patterns, or one data set as index:NAME; without any, the run's own test data.",
        ),
    ] = None,
    documents: Annotated[
        int, typer.Option(min=1, max=MOST_DOCUMENTS, help="How many documents to look at, the first.")
    ] = 8,
    queries: Annotated[
        int,
        typer.Option(
            min=1, max=MOST_QUERIES, help="Tokens of each document whose weights are computed for all others, at most."
        ),
    ] = 64,
    seed: Annotated[int, typer.Option(min=0, max=MAX_COUNT, help="By which these tokens are drawn.")] = 0,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="DOCUMENT:POSITION",
            help="Tell what one token saw: the number of its document, from 1, and of a character of it, from 0.",
        ),
    ] = None,
    attribute: Annotated[
        str | None,
        typer.Option(
            metavar="DOCUMENT[:POSITION]",
            help="Tell which characters of a document an answer comes from: that about the token there or, of a "
            "classifier, that about the document. Needs captum.",
        ),
    ] = None,
    no_scores: Annotated[
        bool, typer.Option("--no-scores", help="Leave out the scores without each layer, which need labels.")
    ] = False,
    scored: Annotated[
        int, typer.Option(min=1, max=MAX_COUNT, help="Documents that scores are measured on, at most.")
    ] = 200,
    format: Format = None,
    encoding: Encoding = None,
    text_column: TextColumn = None,
    split: Split = "test",
    as_json: Annotated[Path | None, typer.Option("--json", help="Write everything as JSON here, too.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with pictures here, too; it needs no other file.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output files.")] = False,
) -> None:
    """Look at the hashed layers of a run: what they saw of your documents, what they missed, and whether it matters.

    For every hashed head: how full the buckets are, what fell out of the window, and which share of full attention's
    weight the local window and each hash round hold. The score without each layer, and with local attention in its
    place, tells whether hashing does anything here.
    """
    start_lean()
    import json

    from reformer.files import replaced
    from reformer.insight.inspect import InspectOptions, inspect_run
    from reformer.insight.inspect_page import page
    from reformer.insight.inspect_texts import test_part
    from reformer.runs.loading import load_run
    from reformer.tasks.predict_options import PredictOptions
    from reformer.tasks.predicting import PredictingTask
    from reformer.terminal import PlainConsole

    asked = None if token is None else _token(token)
    answered = None if attribute is None else _place("--attribute", attribute)
    given = data or []
    for file in (as_json, html):
        check_output_file(file, given, run, overwrite=overwrite)
    if overwrite and as_json is None and html is None:
        raise ReformerError("--overwrite is for the files of --json and --html; leave it out")
    if html is not None and as_json is not None and html.resolve() == as_json.resolve():
        raise ReformerError(f"{html}: --html and --json are the same file; give each its own")
    loaded = load_run(run)
    sources = given or test_part(loaded)
    if isinstance(loaded.task, PredictingTask):
        sources = loaded.task.find_inputs(sources, format)
    for file in (as_json, html):
        check_output_file(file, sources, run, overwrite=True)
    is_set = any(source.startswith("index:") for source in sources)
    read = PredictOptions(format=format, encoding=encoding, text_column=text_column, split=split if is_set else None)
    if isinstance(loaded.task, PredictingTask):
        loaded.task.check_options(loaded.recipe.training.task, read)
    options = InspectOptions(
        documents=documents,
        queries=queries,
        seed=seed,
        token=asked,
        attribute=answered,
        scores=not no_scores,
        scored=scored,
    )
    with steps(PlainConsole(stderr=True)) as on_step:
        report = inspect_run(loaded, sources, read, options, on_step)
    _print(report, PlainConsole())
    if as_json is not None:
        with replaced(as_json, overwrite=overwrite) as file:
            file.write((json.dumps(report.to_json(), ensure_ascii=False, indent=2) + "\n").encode("utf-8", "replace"))
    if html is not None:
        with replaced(html, overwrite=overwrite) as file:
            file.write(page(report))


def _token(text: str) -> tuple[int, int]:
    """The document and the character that `--token` names."""
    document, character = _place("--token", text)
    if character is None:
        raise typer.BadParameter(f"--token {text!r}: expected the number of a character, too, such as {document}:0")
    return document, character


def _place(option: str, text: str) -> tuple[int, int | None]:
    """The document that an option names, and the character in it, if any."""
    document, colon, position = text.partition(":")
    numbers = [document, position] if colon else [document]
    if not all(number.isascii() and number.isdigit() for number in numbers):
        raise typer.BadParameter(
            f"{option} {text!r}: expected the number of a document and that of a character in it, such as 1:0"
        )
    if int(document) < 1:
        raise typer.BadParameter(f"{option} {text!r}: documents are counted from 1")
    return int(document), int(position) if colon else None


def _print(report: "InspectReport", console: "PlainConsole") -> None:
    """The report as tables: a line a head, and a line a change."""
    from rich.table import Table

    from reformer.insight.attribution import in_words
    from reformer.insight.inspect_words import bucket_rows, score_rows, token_rows, verdicts, weight_rows
    from reformer.wording import counted

    tokens = sum(document["tokens"] for document in report.documents)
    told = (
        f"{counted(len(report.documents), 'document')}, {counted(tokens, 'token')}, {report.queries:,} of them sampled"
    )
    console.print(f"{report.run} on {', '.join(report.sources)}: {told}", style="bold", soft_wrap=True)
    tables = {
        "share of full attention's weight that is held, in % (head: layer/head)": weight_rows(report),
        "buckets (empty and fallen out of the window in %)": bucket_rows(report),
    }
    if report.scores is not None:
        tables[f"scores ({report.task})"] = score_rows(report)
    if report.token is not None:
        tables[f"what token {report.token.token} of document {report.token.document} saw"] = token_rows(report.token)
    for title, rows in tables.items():
        table = Table(title=title, title_justify="left")
        for place, name in enumerate(rows[0] if rows else ()):
            is_text = place == 0 or name in ("kind", "text", "by")
            table.add_column(name, justify="left" if is_text else "right", overflow="fold")
        for row in rows:
            table.add_row(*row.values())
        console.print(table)
    for line in [*verdicts(report), *([] if report.attribution is None else [in_words(report.attribution)])]:
        console.print(line, soft_wrap=True)
    for line in report.notes:
        console.print(f"note: {line}", soft_wrap=True)
