"""Key tables: ring buffers of the keys that later queries can still see, and slots continued from them."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from reformer.nn.memory import Memory
from reformer.ops.orderings import BUCKET_STRIDE


class KeyTables:
    """Ring buffers of the keys that any later query can still see, of a size that does not grow.

    In an ordering with `b` buckets and window `w`, a later query sees at most the last `w - 1` keys of its bucket. So
    each bucket has a ring of `w` places, and a key of rank `k` goes to place `k mod w`. The state of a head is
    `sum_r b_r * w_r` keys, however long the sequence is (`docs/math.md`, equation 44).

    Args:
        memory: where the tensors live between calls.
        shape: the number of buckets and the window of each ordering.
    """

    def __init__(self, memory: Memory, shape: tuple[tuple[int, int], ...]) -> None:
        self.tensors, self.shape = memory.tensors, shape
        self.windows = tuple(window for _, window in shape)
        sizes = [buckets * window for buckets, window in shape]
        self.first = [sum(sizes[:ordering]) for ordering in range(len(shape))]
        self.size = sum(sizes)

    def prepare(self, key: Float[Tensor, "batch heads length head_dim"], width: int) -> None:
        """Make empty tables for as many heads of keys as these, of so wide keys and values, if there are none yet."""
        if "key" in self.tensors:
            return
        batch, heads = key.shape[:2]
        # Keys that are not kept are written to one place behind the tables, since scatter has no mask.
        self.tensors["key"] = key.new_zeros(batch, heads, self.size + 1, width)
        self.tensors["value"] = torch.zeros_like(self.tensors["key"])
        self.tensors["slots"] = torch.full(
            (batch, heads, len(self.shape), self.size + 1), -1, dtype=torch.int64, device=key.device
        )
        for ordering, (buckets, _) in enumerate(self.shape):
            counts = torch.zeros(batch, heads, buckets, dtype=torch.int64, device=key.device)
            self.tensors[f"counts_{ordering}"] = counts

    def counts(self, ordering: int) -> Int[Tensor, "batch heads buckets"]:
        """How many keys each bucket has had."""
        return self.tensors[f"counts_{ordering}"]

    def counts_of_rounds(self, first: int) -> Int[Tensor, "batch heads rounds buckets"]:
        """`counts` of the orderings from `first` on, which have equally many buckets."""
        return torch.stack([self.counts(ordering) for ordering in range(first, len(self.shape))], 2)

    def update(
        self,
        key: Float[Tensor, "batch heads length head_dim"],
        value: Float[Tensor, "batch heads length head_dim"],
        slots: Int[Tensor, "batch heads orderings length"],
    ) -> None:
        """Take in new keys; those that they push out of every reach are gone."""
        for ordering, (_, window) in enumerate(self.shape):
            mine = slots[:, :, ordering]
            bucket, rank = mine.clamp_min(0) // BUCKET_STRIDE, mine % BUCKET_STRIDE
            counts = self.counts(ordering).scatter_reduce(-1, bucket, (rank + 1).where(mine >= 0, 0), "amax")
            self.tensors[f"counts_{ordering}"] = counts
            kept = (mine >= 0) & (rank >= counts.gather(-1, bucket) - window)
            place = (self.first[ordering] + bucket * window + rank % window).where(kept, self.size)
            wide = place[..., None].expand_as(key)
            # In place: a new token must not cost a copy of all that is remembered.
            self.tensors["key"].scatter_(2, wide, key.to(self.tensors["key"].dtype))
            self.tensors["value"].scatter_(2, wide, value.to(self.tensors["value"].dtype))
            self.tensors["slots"].scatter_(-1, place[:, :, None].expand(-1, -1, len(self.shape), -1), slots)

    def extended(
        self, key: Tensor, value: Tensor, query_slots: Tensor, key_slots: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Keys, values and slots of a piece and of those that are still held; the tables take the piece in."""
        if key.shape[2] == 1:
            # One query gathers only the keys in its windows: the cost does not depend on the size of the tables.
            self.update(key, value, key_slots)
            return self.near(query_slots)
        keys, values, slots = self.all()
        found = torch.cat((keys, key), 2), torch.cat((values, value), 2), torch.cat((slots, key_slots), 3)
        self.update(key, value, key_slots)
        return found

    def all(self) -> tuple[Tensor, Tensor, Tensor]:
        """Every key that is kept, its value and its slots; one kept by several orderings is absent but once."""
        slots = self.tensors["slots"][..., : self.size]
        kept_before = self._kept_before(slots, torch.arange(self.size, device=slots.device))
        slots = slots.masked_fill(kept_before[:, :, None], -1)
        return self.tensors["key"][:, :, : self.size], self.tensors["value"][:, :, : self.size], slots

    def _kept_before(
        self, slots: Int[Tensor, "batch heads orderings places"], place: Int[Tensor, " places"]
    ) -> Bool[Tensor, "batch heads places"]:
        """Whether the key in a place is also in the table of an earlier ordering."""
        found = torch.zeros_like(slots[:, :, 0], dtype=torch.bool)
        for earlier, (_, window) in enumerate(self.shape[:-1]):
            mine = slots[:, :, earlier]
            bucket, rank = mine.clamp_min(0) // BUCKET_STRIDE, mine % BUCKET_STRIDE
            still = (mine >= 0) & (rank >= self.counts(earlier).gather(-1, bucket) - window)
            found |= still & (place >= self.first[earlier + 1])
        return found

    def near(self, query_slots: Int[Tensor, "batch heads orderings 1"]) -> tuple[Tensor, Tensor, Tensor]:
        """Keys that one query can see, and values `[batch, heads, sum of windows, head_dim]`, and slots, where a key
        that is there for several orderings is absent but once. The cost does not depend on what was read before.
        There may be several heads of queries, next to each other, for each head of keys."""
        parts = []
        for ordering, (_, window) in enumerate(self.shape):
            bucket = query_slots[:, :, ordering].clamp_min(0) // BUCKET_STRIDE
            steps = torch.arange(window, device=bucket.device)
            parts.append(self.first[ordering] + bucket * window + steps)
        place = torch.cat(parts, -1)
        batch, heads, count = place.shape
        place = place.view(batch, self.tensors["key"].shape[1], -1)
        wide = place[..., None].expand(-1, -1, -1, self.tensors["key"].shape[-1])
        key, value = (self.tensors[name].gather(2, wide).view(batch, heads, count, -1) for name in ("key", "value"))
        slots = self.tensors["slots"].gather(-1, place[:, :, None].expand(-1, -1, len(self.shape), -1))
        slots = slots.unflatten(-1, (-1, count)).transpose(2, 3).flatten(1, 2)
        return key, value, self._once(query_slots, slots)

    def _once(self, query_slots: Tensor, slots: Tensor) -> Tensor:
        """Slots of gathered keys, absent unless the ordering that brought a key is the first that it is near in."""
        parts = slots.split(self.windows, dim=-1)
        kept = []
        for ordering, part in enumerate(parts):
            distance = query_slots - part
            window = torch.tensor(self.windows, device=part.device)[:, None]
            near = (query_slots >= 0) & (part >= 0) & (distance >= 0) & (distance < window)
            first = near[:, :, ordering] & ~near[:, :, :ordering].any(2)
            kept.append(part.masked_fill(~first[:, :, None], -1))
        return torch.cat(kept, -1)


def continued_slots(
    slots: Int[Tensor, "batch heads rounds length"], earlier: Int[Tensor, "batch heads rounds buckets"]
) -> Int[Tensor, "batch heads rounds length"]:
    """The slots of a piece's keys in the whole sequence, `earlier` being what each bucket has had before."""
    return torch.where(slots >= 0, slots + earlier.gather(-1, slots.clamp_min(0) // BUCKET_STRIDE), -1)


def continued_places(
    places: Int[Tensor, "batch heads rounds length"],
    buckets: Int[Tensor, "batch heads rounds length"],
    mask: Bool[Tensor, "batch length"] | None,
    earlier: Int[Tensor, "batch heads rounds buckets"],
) -> Int[Tensor, "batch heads rounds length"]:
    """The places of a piece's causal queries among the whole sequence's keys: where the piece has no key before the
    query in its bucket, the last key from before the piece."""
    had = earlier.gather(-1, buckets)
    last = torch.where(had > 0, buckets * BUCKET_STRIDE + had - 1, -1)
    if mask is not None:
        last = last.masked_fill(~mask[:, None, None], -1)
    return torch.where(places >= 0, places + had, last)
