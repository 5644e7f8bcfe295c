"""Changes of a run that take less memory, and models that differ from its own in their configuration."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from transformers import PreTrainedModel

from reformer.training.plan.growth import Shape
from reformer.training.plan.rates import Batches, Rates
from reformer.training.plan.trial import Trial

FEED_FORWARD_CHUNK = 1024


def changed_models(model: PreTrainedModel) -> Iterator[tuple[str, PreTrainedModel]]:
    """Models that keep less for the backward pass, each with the line of the recipe that makes it."""
    config: Any = model.config
    fields: dict[str, dict[str, Any]] = {}
    if config.residual_streams == 2 and config.reversible is not True:
        fields["model.reversible = true"] = {"reversible": True}
    if config.residual_streams == 1 and config.recompute is not True:
        fields["model.recompute = true"] = {"recompute": True}
    if not 0 < config.chunk_size_feed_forward <= FEED_FORWARD_CHUNK:
        fields[f"model.chunk_size_feed_forward = {FEED_FORWARD_CHUNK}"] = {
            "chunk_size_feed_forward": FEED_FORWARD_CHUNK
        }
    for name, changes in fields.items():
        yield name, with_config(model, changes)


def with_config(model: PreTrainedModel, changes: Mapping[str, Any]) -> PreTrainedModel:
    """A model of the same class and of another configuration, its weights drawn anew from a generator of their own."""
    config = copy.deepcopy(model.config)
    for name, value in changes.items():
        setattr(config, name, value)
    with torch.random.fork_rng(devices=[]):
        found: Any = type(model)(config)
    return found.to(model.device)


def fewer_tokens(trial: Trial, rates: Rates, batches: Batches, left: float) -> tuple[str, Batches] | None:
    """The most rows of a batch, or else the most tokens of a text, that memory takes; None where not even one does.

    Args:
        left: bytes for the largest batch.
    """

    def takes(shape: Shape) -> float:
        return rates.step(trial.kind(shape)).bytes.at(shape)

    rows, length = batches.largest.rows, batches.largest.length
    while length > 1 and takes(Shape(1, length)) > left:
        length //= 2
    if takes(Shape(1, length)) > left:
        return None
    while rows > 1 and takes(Shape(rows, length)) > left:
        rows -= 1
    if length == batches.largest.length:
        return f"training.batch_tokens = {rows * length}", batches.cut(rows, length)
    return f"texts of {length} tokens", batches.cut(rows, length)
