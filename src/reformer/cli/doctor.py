"""`reformer doctor`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from reformer.insight.doctor import Finding


def doctor(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A run's folder, a saved model's folder, or a model's name on the hub, of this package or another "
            "architecture of transformers.",
        ),
    ],
    longest: Annotated[
        int, typer.Option(min=1, max=1 << 20, help="The greatest length to try; memory grows with its square.")
    ] = 130,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Examine whether a model keeps its promises, on made-up inputs of many lengths.

    Tried are padding, batch-mates, causality, reading in pieces, lengths, determinism, random numbers, side effects,
    saving, gradients and kernels. Of a promise that is broken the smallest input that shows it is told, and the exit
    status is 1.
    """
    import json

    from reformer.insight.doctor import PROPERTIES, examine, load_subject
    from reformer.insight.doctor.examination import LENGTHS
    from reformer.terminal import PlainConsole, printable

    subject = load_subject(model)
    lengths = sorted({*(length for length in LENGTHS if length < longest), min(longest, subject.longest)})
    aside = PlainConsole(stderr=True)
    findings: list[Finding] = []
    with aside.status("", spinner="line") if aside.is_terminal else _Quiet() as status:
        for tried in PROPERTIES:
            status.update(f"trying {tried.name}")
            findings += examine(subject, [tried], lengths)
    broken = [finding for finding in findings if finding.passed is False]
    if as_json:
        told = {
            "model": model,
            "class": type(subject.model).__name__,
            "keeps_its_promises": not broken,
            "findings": [finding.to_json() for finding in findings],
        }
        sys.stdout.write(printable(json.dumps(told, ensure_ascii=False, indent=2)) + "\n")
    else:
        PlainConsole().print(_table(f"{model}: {type(subject.model).__name__}", findings))
        for finding in broken:
            typer.echo(printable(f"{finding.property}: {in_words(finding)}"))
    if broken:
        raise typer.Exit(1)


def in_words(finding: "Finding") -> str:
    """The smallest input that shows a failure."""
    assert finding.smallest is not None
    places = [f"{name} {value}" for name, value in finding.smallest.items() if value is not None]
    return f"{finding.note} ({', '.join(places)})"


class _Quiet:
    """A status that nobody sees."""

    def __enter__(self) -> "_Quiet":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, status: str) -> None:
        """Show nothing."""


RESULTS = {True: "holds", False: "BROKEN", None: "-"}


def _table(title: str, findings: "list[Finding]") -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in ("promise", "tried", "deviation", "bound", "result"):
        table.add_column(name, overflow="fold", justify="right" if name in ("deviation", "bound") else "left")
    for finding in findings:
        deviation = "" if finding.deviation is None else f"{finding.deviation:.1e}"
        bound = "" if finding.bound is None else f"{finding.bound:.0e}"
        tried = (
            finding.tried if finding.passed is False or not finding.note else f"{finding.tried} {finding.note}".strip()
        )
        table.add_row(finding.property, tried, deviation, bound, RESULTS[finding.passed])
    return table
