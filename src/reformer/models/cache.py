"""Cache of a causal model between calls, in the form that transformers' `generate` passes on."""

import torch
from jaxtyping import Int
from torch import Tensor

from reformer.nn.memory import Memory


class ReformerCache:
    """The memory of every sub-layer and of the embeddings, and how many real tokens each item of the batch has had.

    Hashed and local layers keep what later tokens can still see, which does not grow with the text; full layers keep
    everything. Reading on gives what reading all at once gives.
    """

    def __init__(self, memories: int) -> None:
        self.memories = [Memory() for _ in range(memories)]
        self.real: Int[Tensor, " batch"] | None = None
        self.seen = 0
        self.rounds: int | None = None

    def earlier(self, mask: Tensor) -> Int[Tensor, " batch"]:
        """Counts of the real tokens that each item had before a piece with this mask, whose own are added to the count.

        Raises:
            ValueError: a batch of another size than before.
        """
        if self.real is None:
            self.real = torch.zeros(len(mask), dtype=torch.int64, device=mask.device)
        if len(self.real) != len(mask):
            raise ValueError(f"a batch of {len(mask)} for a cache of {len(self.real)}; start a new cache")
        before = self.real
        self.real = before + mask.sum(-1)
        self.seen += mask.shape[1]
        return before

    def agree_on_rounds(self, asked: int | None, usual: int) -> int:
        """The number of hash rounds, which is that of the first call: `asked`, or if that is None the `usual` one.

        Raises:
            ValueError: another number than the first call's.
        """
        if self.rounds is None:
            self.rounds = usual if asked is None else asked
        if asked is not None and asked != self.rounds:
            raise ValueError(
                f"num_rounds={asked} with a cache that was begun with {self.rounds}: earlier keys stand in its rounds' "
                "buckets alone; leave num_rounds out, or start a new cache"
            )
        return self.rounds

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """The number of tokens that were read, padding included."""
        return self.seen

    def reorder_cache(self, beam_idx: Int[Tensor, " batch"]) -> None:
        """Let item `i` go on from where item `beam_idx[i]` was."""
        for memory in self.memories:
            memory.reorder(beam_idx)
        if self.real is not None:
            self.real = self.real.index_select(0, beam_idx.to(self.real.device))

    @property
    def nbytes(self) -> int:
        """The size of all memories in bytes."""
        return sum(memory.nbytes for memory in self.memories)
