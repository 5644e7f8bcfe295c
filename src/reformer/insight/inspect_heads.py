"""Figures of hashed heads, gathered while a model reads: their buckets, and the weight that their windows hold."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from reformer.errors import ReformerError
from reformer.insight.inspect_buckets import Fullness, fullness, together
from reformer.insight.inspect_layers import HashedLayer, observed
from reformer.insight.inspect_recall import Recall
from reformer.nn import Attention, Tokens
from reformer.nn.attention_call import AttentionCall, attention_call


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadReport:
    """One hashed head over all documents; shares of weight are means over the sampled queries."""

    layer: int
    head: int
    kind: str
    windows: dict[str, int]
    """Of each ordering that does not hash, and of a hash round."""
    buckets: int
    fullness: list[Fullness]
    """Of each round."""
    fallen: list[float | None]
    """Of each round, see `Recall.fallen`."""
    held: dict[str, float]
    """By each ordering alone."""
    together: float
    cumulated: list[float]
    """With 0, 1, ... rounds, to one more than there are."""
    wider: dict[str, float]
    """With a window of twice the width."""
    best: float
    """By as many keys, were they the best."""
    keys_seen: float


class HeadWatch:
    """Figures of the heads of some layers over all that a model reads while it is watched.

    Args:
        layers: hashed layers of a model in evaluation.
        queries: tokens of a row whose weights are computed for all keys, at most.
        name: of the model, for messages.
    """

    def __init__(self, layers: Sequence[HashedLayer], queries: int, name: str) -> None:
        self._layers, self._most, self._name, self._seed = list(layers), queries, name, 0
        self._recalls = {
            (layer, place): Recall(layer.attention.rounds, orderings(layer.attention))
            for layer in layers
            for place in range(len(layer.heads))
        }
        self._fullness: dict[tuple[HashedLayer, int], list[list[Fullness]]] = {each: [] for each in self._recalls}

    @contextmanager
    def watching(self, seed: int) -> Iterator[None]:
        """While it lasts, every row that the model reads counts.

        Args:
            seed: by which tokens are drawn.
        """
        self._seed = seed
        with observed(self._layers, self._see):
            yield

    @torch.no_grad()
    def _see(self, layer: HashedLayer, hidden: Tensor, tokens: Tokens) -> None:
        whole = attention_call(layer.attention, hidden, tokens, layer.attention.rounds + 1)
        for row in range(len(hidden)):
            self.see_row(layer, whole.row(row))

    def see_row(self, layer: HashedLayer, call: AttentionCall) -> None:
        """Count a row of a call with one round more than the layer has."""
        attention = layer.attention
        own = call._replace(key_buckets=call.key_buckets[:, :, :-1])
        real = call.mask[0].nonzero()[:, 0]
        places = real[sample(len(real), self._most, self._seed).to(real.device)]
        for place in range(len(layer.heads)):
            self._recalls[layer, place].add(call, place, places)
            self._fullness[layer, place].append(fullness(own, place, attention._most_buckets))

    @property
    def queries(self) -> int:
        """How many tokens were sampled for a layer, at most."""
        return max(recall.queries for recall in self._recalls.values())

    def heads(self) -> list[HeadReport]:
        """Every head, by its layer and its number."""
        reports = [self._head(layer, place) for layer, place in self._recalls]
        return sorted(reports, key=lambda report: (report.layer, report.head))

    def _head(self, layer: HashedLayer, place: int) -> HeadReport:
        attention, recall = layer.attention, self._recalls[layer, place]
        if not recall.queries:
            raise ReformerError(f"{self._name}: layer {layer.layer} has read nothing of these documents as a whole")
        windows = dict(zip(orderings(attention), attention._position_windows, strict=True))
        return HeadReport(
            layer=layer.layer,
            head=layer.heads[place],
            kind=layer.kind,
            windows=windows | {"round": attention.lsh_window},
            buckets=attention._most_buckets,
            fullness=together(self._fullness[layer, place]),
            fallen=recall.fallen,
            held=recall.held,
            together=recall.together,
            cumulated=recall.cumulated,
            wider=recall.wider,
            best=recall.best,
            keys_seen=recall.keys_seen,
        )


def orderings(attention: Attention) -> tuple[str, ...]:
    """The names of the orderings of a layer that do not hash."""
    return ("local",) * len(attention.local_windows) + ("global",) * (attention.global_tokens > 0)


def sample(count: int, most: int, seed: int) -> Int[Tensor, " chosen"]:
    """Some of `count` places, in order, drawn by a seed."""
    chosen = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:most]
    return chosen.sort().values
