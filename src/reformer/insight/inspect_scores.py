"""Scores of a run as it is, and with the attention of a layer left out or made local."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from reformer.data import DataError
from reformer.errors import ReformerError
from reformer.insight.inspect_layers import HashedLayer
from reformer.insight.inspect_texts import documents, running_text
from reformer.nn.attention_call import attention_call, local_only
from reformer.ops import window_attention
from reformer.tasks.base import Run
from reformer.tasks.documents.prediction import evaluate
from reformer.tasks.documents.task import DocumentTask
from reformer.tasks.language_modelling import LanguageModelling, text_metrics
from reformer.tasks.masked_language_modelling import MaskedLanguageModelling, hidden_token_metrics
from reformer.tasks.predict_options import PredictOptions

Metrics = dict[str, int | float]


@dataclass(frozen=True, slots=True)
class Score:
    """Metrics of the run with a change."""

    change: str
    """What was changed, in words."""
    metrics: Metrics


def scores(
    run: Run[Any],
    layers: Sequence[HashedLayer],
    measure: Callable[[], Metrics],
    on_score: Callable[[Score], object] = lambda score: None,
) -> list[Score]:
    """The run as it is, without the attention of each hashed layer, with local attention in its place, and with local
    attention in place of all.

    Args:
        measure: the metrics of the run, by the evaluation of its task.
        on_score: called with each score as it is known.
    """
    found: list[Score] = []

    def add(change: str) -> None:
        found.append(Score(change, measure()))
        on_score(found[-1])

    add("as it is")
    for number in dict.fromkeys(layer.layer for layer in layers):
        own = [layer for layer in layers if layer.layer == number]
        with without(own[0]):
            add(f"layer {number} without attention")
        with made_local(own):
            add(f"layer {number} with local attention")
    if len({layer.layer for layer in layers}) > 1:
        with made_local(layers):
            add("all of these layers with local attention")
    return found


def measuring(run: Run[Any], sources: Sequence[str], options: PredictOptions, most: int) -> Callable[[], Metrics]:
    """The evaluation of the run's task on the sources; of documents, or sequences of running text, on at most so many.

    Raises:
        ReformerError: from what it returns, where there is no label to measure by.
    """

    def measure() -> Metrics:
        try:
            return _metrics(run, sources, options, most)
        except DataError as error:
            raise ReformerError(f"{error}; or leave the scores out: --no-scores") from error

    return measure


def _metrics(run: Run[Any], sources: Sequence[str], options: PredictOptions, most: int) -> Metrics:
    if isinstance(run.task, LanguageModelling):
        return text_metrics(run, running_text(sources, options), most)
    if isinstance(run.task, DocumentTask):
        return evaluate(run, islice(documents(run, sources, options, labelled=True), most))
    if isinstance(run.task, MaskedLanguageModelling):
        return hidden_token_metrics(run, islice(documents(run, sources, options, labelled=True), most))
    return run.task.evaluate(run, sources, options)


@contextmanager
def without(layer: HashedLayer) -> Iterator[None]:
    """While it lasts, the attention of the layer, all its heads, adds nothing to the stream."""
    last = layer.sublayer.function if layer.sublayer.after is None else layer.sublayer.after
    with last.register_forward_hook(_nothing):
        yield


def _nothing(module: nn.Module, arguments: Any, output: Any) -> Tensor:
    return torch.zeros_like(output)


@contextmanager
def made_local(layers: Sequence[HashedLayer]) -> Iterator[None]:
    """While it lasts, hashed heads attend to their neighbours in place of their buckets: those of "local+lsh" by their
    local window alone, those of "lsh" by one as wide as that of a round."""
    with ExitStack() as hooks:
        for layer in layers:
            hooks.enter_context(layer.attention.register_forward_hook(_local))
        yield


def _local(module: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> Tensor:
    attention: Any = module
    hidden, tokens, *rest = arguments
    if len(rest) > 1 and rest[1] is not None:
        raise ReformerError("local attention in place of hashing is tried where a layer reads whole sequences alone")
    call = local_only(attention_call(attention, hidden, tokens), attention.lsh_window)
    attended = window_attention(
        call.query,
        call.key,
        call.value,
        call.query_slots,
        call.key_slots,
        window=call.windows,
        causal=call.causal,
        attend_self=call.attend_self,
        scale=call.scale,
        transform=call.transform,
    )
    return attention.merge(attended[..., : attention.head_dim], call.gate)
