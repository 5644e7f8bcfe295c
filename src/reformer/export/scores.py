"""Scores of a run whose model is a graph, on labelled data."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from reformer.errors import ReformerError
from reformer.export.graphs import Exported, Runner
from reformer.export.inputs import graph_inputs
from reformer.tasks.base import Run, Task
from reformer.tasks.model_setup import read_start
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.predicting import PredictingTask

IGNORED = -100


def check_scorable(run: Run[Task], sources: Sequence[str] | None) -> None:
    """Raise `ReformerError` where there is nothing to measure the run's answers on.

    Args:
        sources: labelled files, or None for the test part that the run's recipe names.
    """
    data = run.recipe.data
    if sources is not None:
        if not isinstance(run.task, PredictingTask):
            raise ReformerError(
                f"--data with a run that has learned {run.recipe.training.task}, which reads no labelled files; leave "
                "it out: the test part of the run's recipe is measured"
            )
    elif data.source is None and data.test is None:
        raise ReformerError(
            f"{run.folder}: the run's recipe names no test part to measure the score on, before int8 and after; give "
            "--data FILE, labelled"
        )


def scores(run: Run[Task], exported: Exported, runner: Runner, sources: Sequence[str] | None, split: str) -> Any:
    """The metrics of the run's task, with the graph in the place of the model.

    Args:
        runner: of the graph.
        sources: labelled files, or None for the test part that the run's recipe names.
        split: the part of a data set among the sources.
    """
    answering = replace(run, model=graph_model(run.model, exported, runner))
    task, data = run.task, run.recipe.data
    if isinstance(task, PredictingTask):
        found = sources if sources is not None else [data.source or data.test]
        options = PredictOptions(split=split)
        return dict(task.evaluate(answering, task.find_inputs(found, None), options))
    place = run.recipe.finetune.start_from
    start = None if place is None else read_start(place, accept_licence=bool(run.recipe.finetune.accept_licence))
    found = task.load_data(run.recipe, start).test_metrics(answering)
    if found is None:
        raise ReformerError(f"{run.folder}: the data of the run's recipe has no test part to measure the score on")
    return dict(found)


def graph_model(model: Any, exported: Exported, runner: Runner) -> Any:
    """A model whose outputs are those of a graph; everything else of it is the model's own.

    It gives no gradient. The loss of a language model is computed from the graph's logits.
    """
    example = graph_inputs(model).example(exported.least)
    with torch.no_grad():
        kind: Any = type(model(**example, return_dict=True))
    found = copy.copy(model)

    def forward(**inputs: Any) -> Any:
        labels, items = inputs.get("labels"), inputs.get("num_items_in_batch")
        given = {name: inputs[name] for name in exported.inputs}
        outputs = dict(zip(exported.outputs, runner(given), strict=True))
        if labels is not None:
            outputs["loss"] = _loss(outputs["logits"], labels, items, causal=bool(model.config.is_decoder))
        return kind(**outputs)

    found.forward = forward
    return found


def _loss(logits: Tensor, labels: Tensor, items: int | None, *, causal: bool) -> Tensor:
    """Cross entropy of the labels; causal: of each by the logits before it."""
    if causal:
        logits, labels = logits[:, :-1], labels[:, 1:]
    reduction = "mean" if items is None else "sum"
    loss = cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction=reduction)
    return loss if items is None else loss / items
