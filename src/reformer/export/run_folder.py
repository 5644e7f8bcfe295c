"""Export of a run: a folder with its graph, the tokenizer, and a description that a reader needs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch

from reformer import __version__
from reformer.errors import ReformerError
from reformer.export.graphs import Exported, check_onnx_packages, export_model, onnx_runner
from reformer.export.inputs import graph_inputs
from reformer.export.quantization import quantize_to_int8
from reformer.export.scores import check_scorable, scores
from reformer.files import new_folder, remove_files, replace_file, unfinished_folder, write
from reformer.models import ReformerPreTrainedModel
from reformer.runs.folder import CALIBRATION, write_calibration
from reformer.tasks.base import Run, Task

GRAPHS = {"onnx": "model.onnx", "torch": "model.pt2"}
QUANTIZED = "model.int8.onnx"
DESCRIPTION = "export.json"
"""The file by which the folder of an export is known."""

_FILES = (
    *GRAPHS.values(),
    *(f"{GRAPHS['onnx']}.data", QUANTIZED, f"{QUANTIZED}.data", CALIBRATION),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "series.json"),
)


@dataclass(frozen=True)
class ExportedRun:
    """What was exported of a run.

    Args:
        folder: has the files.
        graph: how the graph compares with the model.
        files: names and bytes of all that was written.
        scores: with int8, the metrics of the float32 graph and of the int8 graph.
    """

    folder: Path
    graph: Exported
    files: Mapping[str, int]
    scores: Mapping[str, Mapping[str, int | float]] | None


def export_run(
    run: Run[Task],
    folder: Path,
    form: Literal["onnx", "torch"],
    *,
    int8: bool = False,
    sources: Sequence[str] | None = None,
    split: str = "test",
    overwrite: bool = False,
) -> ExportedRun:
    """Write a run's model as a graph into a folder of its own, which is there whole or not at all.

    Beside the graph are the tokenizer, or what else reads files for the model, the calibration, and `export.json`: the
    task, the labels in the order of the outputs, the names of inputs and outputs, the shortest and the longest length.

    Args:
        form: an ONNX graph or a program of `torch.export`.
        int8: also write the ONNX graph with weights of eight bits, and measure both.
        sources: labelled files to measure on; None: the test part that the run's recipe names.
        split: the part of a data set among the sources.
        overwrite: replace the export that is in the folder.

    Raises:
        ReformerError: the folder exists, the model cannot be exported, the graph differs from it, or there is nothing
            to measure on.
    """
    _check_folder(folder, overwrite=overwrite)
    if int8 and form != "onnx":
        raise ReformerError("--quantize int8 with --to torch: eight bits are made by ONNX Runtime; give --to onnx")
    if sources is not None and not int8:
        raise ReformerError("--data is what int8 is measured on; give --quantize int8, too, or leave it out")
    # What is wrong is told before anything is traced.
    graph_inputs(cast(ReformerPreTrainedModel, run.model))
    if form == "onnx":
        check_onnx_packages()
    if int8:
        check_scorable(run, sources)
    if not folder.exists():
        with new_folder(folder) as whole:
            return _fill(run, whole, folder, form, int8, sources, split)
    with unfinished_folder(folder / DESCRIPTION) as fresh:
        found = _fill(run, fresh, folder, form, int8, sources, split)
        # Known by its description, the folder has none while its files are of two exports.
        remove_files(folder, [DESCRIPTION])
        for name in found.files:
            if name != DESCRIPTION:
                replace_file(fresh / name, folder / name)
        remove_files(folder, [name for name in _FILES if name not in found.files])
        replace_file(fresh / DESCRIPTION, folder / DESCRIPTION)
    return found


def _check_folder(folder: Path, *, overwrite: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / DESCRIPTION).is_file()):
        raise ReformerError(f"{folder}: this exists, and is no folder of an export; give another --output")
    if not overwrite:
        raise ReformerError(f"{folder}: this exists already; give another --output, or --overwrite")


def _fill(
    run: Run[Task],
    place: Path,
    folder: Path,
    form: Literal["onnx", "torch"],
    int8: bool,
    sources: Sequence[str] | None,
    split: str,
) -> ExportedRun:
    """Write all files into `place`, which will be `folder`."""
    name = GRAPHS[form]
    graph = export_model(cast(ReformerPreTrainedModel, run.model), place / name)
    if run.processor is not None:
        run.processor.save_pretrained(str(place))
    write_calibration(run.calibration, place)
    measured = None
    if int8:
        quantize_to_int8(place / name, place / QUANTIZED)
        measured = {
            kind: scores(run, graph, onnx_runner(place / file), sources, split)
            for kind, file in (("float32", name), ("int8", QUANTIZED))
        }
    description = _description(run, graph, form) | ({"quantized": QUANTIZED, "scores": measured} if int8 else {})
    write(place / DESCRIPTION, (json.dumps(description, ensure_ascii=False, indent=2) + "\n").encode())
    files = {file.name: file.stat().st_size for file in sorted(place.iterdir()) if file.is_file()}
    return ExportedRun(folder, graph, files, measured)


def _description(run: Run[Task], graph: Exported, form: str) -> dict[str, Any]:
    """What a reader of the graph needs to know."""
    config: Any = run.model.config
    classifies = getattr(run.model, "classifier", None) is not None
    return {
        "task": run.recipe.training.task,
        "graph": GRAPHS[form],
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "labels": run.labels if classifies else None,
        "least_length": graph.least,
        "longest_length": graph.most,
        "special_tokens": bool(config.special_tokens),
        "pad_token_id": config.pad_token_id,
        "compared": {"lengths": list(graph.lengths), "greatest_difference": graph.difference},
        "versions": {"reformer": __version__, "torch": torch.__version__},
    }
