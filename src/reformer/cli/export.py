"""`reformer export`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reformer.cli.options import RunFolder, Split
from reformer.cli.tables import table_of
from reformer.wording import counted


class GraphForm(StrEnum):
    """Forms of a graph."""

    ONNX = "onnx"
    TORCH = "torch"


class Quantization(StrEnum):
    """Numbers that weights are rounded to."""

    INT8 = "int8"


def export(
    run: RunFolder,
    to: Annotated[
        GraphForm,
        typer.Option(help="onnx: a graph for ONNX Runtime and others; torch: a program of torch.export."),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The folder to write; without it, RUN-onnx or RUN-torch.")
    ] = None,
    quantize: Annotated[
        Quantization | None,
        typer.Option(help="Also write the graph with weights of eight bits, and measure the score of both."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="With --quantize: the labelled file to measure on, or index:NAME; without it, the test part that the "
            "run's recipe names. May be given several times.",
        ),
    ] = None,
    split: Split = "test",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the export in that folder.")] = False,
) -> None:
    """Export a trained model as a graph that runs without this package, with its tokenizer and labels beside it.

    The graph takes batches and texts of any size. Before it is written, its answers are compared with the model's at
    1, 63, 64, 1,000 and 20,000 tokens, or the model's longest; where they differ by more than 0.0001 of the greatest,
    there is an error and no graph.
    """
    from reformer.errors import ReformerError
    from reformer.export.run_folder import export_run
    from reformer.runs.loading import load_run
    from reformer.terminal import printable

    if not run.exists():
        raise ReformerError(f"{run}: there is no such run folder; check the path")
    folder = output if output is not None else run.resolve().with_name(f"{run.resolve().name}-{to.value}")
    found = export_run(
        *(load_run(run), folder, to.value), int8=quantize is not None, sources=data, split=split, overwrite=overwrite
    )
    graph = found.graph
    lengths = [f"{length:,}" for length in graph.lengths]
    typer.echo(
        printable(
            f"{folder}: {graph.path.name}, compared with the model at {', '.join(lengths)} tokens: its answers differ "
            f"by at most {graph.difference:.1e} of the greatest"
        )
    )
    typer.echo(printable(", ".join(f"{name} {counted(size, 'byte')}" for name, size in found.files.items())))
    if graph.least > 1:
        typer.echo(printable(f"texts of fewer than {graph.least} tokens have to be padded"))
    if found.scores is not None:
        from reformer.terminal import PlainConsole

        kinds = found.scores
        rows = [
            {"metric": name} | {kind: kinds[kind].get(name) for kind in kinds} for name in next(iter(kinds.values()))
        ]
        PlainConsole().print(table_of(str(folder), rows))
