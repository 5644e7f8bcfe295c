"""Share of full attention's weight that the windows and rounds of a head hold, exactly, for some of its queries."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from reformer.nn.attention_call import AttentionCall
from reformer.ops.window_attention.transforms import ScoreTransform


@dataclass(frozen=True, slots=True)
class SampledQueries:
    """Some queries of a head, and all keys of the text."""

    scores: Float[Tensor, "queries length"]
    """Those of the layer, transformed, of every key."""
    allowed: Bool[Tensor, "queries length"]
    """Which keys full attention of the same rules would see: real ones, none that is later than a causal query, and
    the query's own where it is not left out (`docs/math.md`, equation 7)."""
    near: Bool[Tensor, "orderings queries length"]
    """Equation 5."""
    same_bucket: Bool[Tensor, "rounds queries length"]
    """Whether the key is in the query's bucket."""

    @property
    def weights(self) -> Float[Tensor, "queries length"]:
        """The softmax over all allowed keys."""
        return self.scores.masked_fill(~self.allowed, -torch.inf).softmax(-1)


def sampled_queries(
    call: AttentionCall, head: int, places: Int[Tensor, " queries"], windows: tuple[int, ...] | None = None
) -> SampledQueries:
    """The queries at these places of the call's first row.

    Args:
        places: of real tokens.
        windows: other windows than those of the layer.
    """
    scores = call.scale * call.query[0, head, places].double() @ call.key[0, head].double().T
    if call.transform is not None:
        scores = _transformed(call.transform, scores, head)
    index = torch.arange(scores.shape[1], device=scores.device)
    allowed = call.mask[0].expand(scores.shape)
    if call.causal:
        allowed = allowed & (index <= places[:, None])
    if not call.attend_self:
        others = allowed & (index != places[:, None])
        allowed = torch.where(others.any(-1, keepdim=True), others, allowed)
    near = torch.stack(
        [
            _near(call.query_slots[0, head, number, places], call.key_slots[0, head, number], window, call.causal)
            for number, window in enumerate(windows or call.windows)
        ]
    )
    buckets = call.query_buckets[0, head][:, places, None] == call.key_buckets[0, head][:, None]
    return SampledQueries(scores, allowed, near & allowed, buckets & allowed)


def _transformed(transform: ScoreTransform, scores: Tensor, head: int) -> Tensor:
    return transform.value(scores, transform.coefficients[head].detach().to(scores.dtype))


def _near(queries: Tensor, keys: Tensor, window: int, causal: bool) -> Bool[Tensor, "queries length"]:
    distance = queries[:, None] - keys
    lowest = 0 if causal else 1 - window
    return (queries >= 0)[:, None] & (keys >= 0) & (distance >= lowest) & (distance < window)


@dataclass(slots=True)
class Recall:
    """Sums over the sampled queries of one head; a property is a mean over them.

    Args:
        rounds: of the layer.
        orderings: the names of the orderings that do not hash.
    """

    rounds: int
    orderings: tuple[str, ...]
    queries: int = 0
    _sums: dict[str, Tensor] = field(default_factory=dict)

    def add(self, call: AttentionCall, head: int, places: Int[Tensor, " queries"]) -> None:
        """Count queries of a call that has one more round than the layer."""
        by_position = len(self.orderings)
        if call.rounds != self.rounds + 1 or call.by_position != by_position:
            raise ValueError(f"a call of {call.rounds} rounds for a layer of {self.rounds}: expected one more")
        seen = sampled_queries(call, head, places)
        weights, own = seen.weights, slice(0, by_position + self.rounds)
        union = seen.near[own].any(0)
        held = (weights * seen.near).sum((1, 2))
        cumulated = [(weights * seen.near[: by_position + rounds].any(0)).sum() for rounds in range(self.rounds + 2)]
        number_seen = union.sum(-1)
        best = weights.sort(-1, descending=True).values.cumsum(-1)
        chosen = best.gather(-1, (number_seen - 1).clamp_min(0)[:, None])[:, 0].where(number_seen > 0, 0)
        # One round more is no part of the layer, nor of what its wider windows would hold.
        wider = {}
        for name, grown in (("hash", range(by_position, by_position + self.rounds)), ("local", self._local)):
            windows = tuple(window * (1 + (place in grown)) for place, window in enumerate(call.windows))
            wider[name] = (weights * sampled_queries(call, head, places, windows).near[own].any(0)).sum()
        in_bucket = seen.same_bucket[: self.rounds]
        fallen = in_bucket & ~seen.near[by_position : by_position + self.rounds]
        self._add("held", held)
        self._add("cumulated", torch.stack(cumulated))
        self._add("best", chosen.sum())
        self._add("keys", (number_seen / seen.allowed.sum(-1)).sum())
        self._add("wider", torch.stack(list(wider.values())))
        self._add("in_bucket", in_bucket.sum((1, 2)))
        self._add("fallen", fallen.sum((1, 2)))
        self.queries += len(places)

    def _add(self, name: str, value: Tensor) -> None:
        self._sums[name] = self._sums.get(name, torch.zeros((), dtype=torch.float64)) + value.double().cpu()

    @property
    def _local(self) -> range:
        return range(self.orderings.count("local"))

    def _mean(self, name: str) -> list[float]:
        return (self._sums[name] / max(1, self.queries)).reshape(-1).tolist()

    @property
    def held(self) -> dict[str, float]:
        """The weight that each ordering holds by itself."""
        names = [*self.orderings, *(f"round {number + 1}" for number in range(self.rounds))]
        return dict(zip(names, self._mean("held"), strict=False))

    @property
    def cumulated(self) -> list[float]:
        """The weight that the positions and the first 0, 1, ... rounds hold together, to one more than there are."""
        return self._mean("cumulated")

    @property
    def together(self) -> float:
        """The weight that all orderings of the layer hold."""
        return self.cumulated[self.rounds]

    @property
    def best(self) -> float:
        """The weight that as many keys would hold, were they those of the greatest weight."""
        return self._mean("best")[0]

    @property
    def keys_seen(self) -> float:
        """The share of the keys that full attention would see."""
        return self._mean("keys")[0]

    @property
    def wider(self) -> dict[str, float]:
        """The weight that all orderings would hold, were the window twice as wide: of the hash rounds, or where there
        is one of the neighbours."""
        of_hash, of_local = self._mean("wider")
        return {"hash": of_hash} | ({"local": of_local} if len(self._local) else {})

    @property
    def fallen(self) -> list[float | None]:
        """In each round the share of the keys of a query's bucket that lie outside its window; None where no query had
        a key in its bucket."""
        fallen, every = self._sums["fallen"].tolist(), self._sums["in_bucket"].tolist()
        return [part / whole if whole else None for part, whole in zip(fallen, every, strict=True)]
