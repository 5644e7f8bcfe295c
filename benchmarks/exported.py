"""`python -m benchmarks.exported [TASK...]`: how far exported graphs are from their models, by task and length.

Each model is written as an ONNX graph by `reformer.export.export_model`, and ONNX Runtime's answers are compared with
the model's, half of one row padding. The differences go into `results/exported.json`, and from there by
`python -m benchmarks.report` into `docs/guides/export.md`.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import describe
from benchmarks.markdown import Result, grid
from benchmarks.results import FOLDER
from reformer.errors import ReformerError
from reformer.export import export_model
from reformer.files import write
from reformer.models import (
    ReformerConfig,
    ReformerForCausalLM,
    ReformerForForecasting,
    ReformerForMaskedLM,
    ReformerForSequenceClassification,
    ReformerForTokenClassification,
    ReformerPreTrainedModel,
)

RESULTS = FOLDER / "exported.json"
LAYERS = ["local", "lsh", "local+lsh"]
FIELDS: dict[str, Any] = {
    "hidden_size": 64,
    "num_attention_heads": 4,
    "attention_head_size": 16,
    "feed_forward_size": 128,
    "attention_layers": LAYERS,
    "local_window": 64,
    "lsh_window": 64,
    "num_buckets": 64,
    "convolution_kernel": 3,
    "max_position_embeddings": 1 << 15,
    "initializer_range": 0.1,
}
SERIES: dict[str, Any] = {"patch_size": 4, "prediction_length": 24, "linear_context": 48, "quantiles": [0.1, 0.5, 0.9]}


def _tokens(head: Callable[[ReformerConfig], ReformerPreTrainedModel], **fields: Any) -> ReformerPreTrainedModel:
    return head(ReformerConfig(**FIELDS | {"vocab_size": 512} | fields))


MODELS: dict[str, Callable[[], ReformerPreTrainedModel]] = {
    "token classification": lambda: _tokens(ReformerForTokenClassification, num_labels=9),
    "token classification, random field": lambda: _tokens(
        ReformerForTokenClassification, num_labels=9, classifier_crf=True
    ),
    "sequence classification": lambda: _tokens(ReformerForSequenceClassification, num_labels=5),
    "causal language model": lambda: _tokens(ReformerForCausalLM, is_decoder=True),
    "masked language model": lambda: _tokens(ReformerForMaskedLM),
    "forecasting": lambda: ReformerForForecasting(ReformerConfig(**FIELDS | SERIES | {"vocab_size": 0})),
}
"""A model with random weights for each task."""


def measured(task: str) -> dict[str, Any]:
    """The differences of one task's graph, or why there is none."""
    torch.manual_seed(0)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = export_model(MODELS[task]().eval(), Path(folder) / "model.onnx")
        except ReformerError as error:
            return {"task": task, "refused": str(error)}
    return {
        "task": task,
        "lengths": list(found.lengths),
        "differences": list(found.differences),
        "seconds": time.perf_counter() - begun,
    }


def table(result: Result) -> str:
    """The results as a table of Markdown, with the processor they are from."""
    rows = [row for row in result["rows"] if "lengths" in row]
    lengths = sorted({length for row in rows for length in row["lengths"]})
    lines = []
    for row in rows:
        found = dict(zip(row["lengths"], row["differences"], strict=True))
        lines.append([row["task"], *(f"{found[length]:.1e}" if length in found else "" for length in lengths)])
    refused = [f"- {row['task']}: refused: {row['refused']}" for row in result["rows"] if "refused" in row]
    told = dict.fromkeys(
        f"On {machine['processor']}, torch {machine['versions']['torch']}, onnxruntime "
        f"{machine['versions']['onnxruntime']}."
        for machine in (row["machine"] for row in result["rows"])
    )
    return "\n\n".join([grid(["task, tokens or steps", *(f"{each:,}" for each in lengths)], lines), *refused, *told])


def add(row: dict[str, Any]) -> None:
    """Put a row into the results, in place of an earlier one of the same task."""
    rows = (
        {} if not RESULTS.exists() else {each["task"]: each for each in json.loads(RESULTS.read_text("utf-8"))["rows"]}
    )
    rows[row["task"]] = row
    result = {"case": "exported", "rows": [rows[task] for task in MODELS if task in rows]}
    write(RESULTS, (json.dumps(result, ensure_ascii=False, indent=1) + "\n").encode())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exported", description=__doc__)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(MODELS)}; without any, all")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.tasks if name not in MODELS]:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(MODELS)}")
    machine = describe(torch.get_num_threads(), "cpu")
    machine["versions"] |= {name: version(name) for name in ("onnx", "onnxruntime", "onnxscript")}
    for task in given.tasks or MODELS:
        row = measured(task)
        print(json.dumps(row), flush=True)
        add(row | {"machine": machine})


if __name__ == "__main__":
    try:
        main()
    except ReformerError as error:
        sys.exit(str(error))
