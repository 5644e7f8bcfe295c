"""Cache of a causal model between calls, in the form that transformers' `generate` passes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import Cache

from reformer.nn.memory import Memory


@dataclass(frozen=True)
class Piece:
    """Tokens that are read in one call: ids, or vectors in their place, or both where a decoder is given both."""

    input_ids: Int[Tensor, "batch length"] | None
    inputs_embeds: Tensor | None
    mask: Bool[Tensor, "batch length"]

    @classmethod
    def joined(cls, pieces: Sequence["Piece"]) -> "Piece":
        """One piece of several, one after the other."""
        tensors = ([getattr(piece, name) for piece in pieces] for name in ("input_ids", "inputs_embeds", "mask"))
        ids, embeds, mask = (None if each[0] is None else torch.cat(each, 1) for each in tensors)
        assert mask is not None
        return cls(ids, embeds, mask)

    def before(self, length: int) -> "Piece":
        """The first so many tokens."""
        return Piece(*(None if each is None else each[:, :length] for each in self._tensors))  # pyright: ignore

    def of_items(self, index: Int[Tensor, " items"]) -> "Piece":
        """These items of the batch."""
        found = (None if each is None else each.index_select(0, index.to(each.device)) for each in self._tensors)
        return Piece(*found)  # pyright: ignore

    @property
    def _tensors(self) -> tuple[Tensor | None, Tensor | None, Tensor]:
        return self.input_ids, self.inputs_embeds, self.mask


@dataclass
class _Held:
    """A state, and what was read from there on."""

    memories: list[dict[str, Tensor]]
    real: Tensor | None
    seen: int
    pieces: list[Piece]


class ReformerCache(Cache):
    """The memory of every sub-layer and of the embeddings, and how many real tokens each item of the batch has had.

    Hashed and local layers keep what later tokens can still see, which does not grow with the text; full layers keep
    everything. Reading on gives what reading all at once gives.

    What such layers have forgotten cannot be found again, so tokens can be taken back (`crop`) only after
    `activate_past_recording`: the state is then copied before the next call, and what is read from there on is held.
    What was taken back too far is read again, together with the next tokens.
    """

    def __init__(self, memories: int) -> None:
        super().__init__(layers=[])
        self.memories = [Memory() for _ in range(memories)]
        self.real: Int[Tensor, " batch"] | None = None
        self.seen = 0
        self.rounds: int | None = None
        self._records = False
        self._held: _Held | None = None
        self._again: Piece | None = None

    def __len__(self) -> int:
        return len(self.memories)

    def __repr__(self) -> str:
        return f"ReformerCache({self.get_seq_length()} tokens, {self.nbytes:,} bytes)"

    def read_again(
        self, input_ids: Tensor | None, inputs_embeds: Tensor | None, attention_mask: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, int]:
        """The tokens of a call and their mask, behind those that are to be read again, and the number of the latter."""
        given = inputs_embeds if input_ids is None else input_ids
        if given is None or given.dim() < 2 or (self._again is None and not self._records):
            return input_ids, inputs_embeds, attention_mask, 0
        length = given.shape[1]
        if attention_mask is not None and attention_mask.shape[1] == self.get_seq_length() + length:
            attention_mask = attention_mask[:, -length:]
        mask = torch.ones(given.shape[:2], dtype=torch.bool, device=given.device)
        mask = mask if attention_mask is None else attention_mask.bool()
        piece, again = Piece(input_ids, inputs_embeds, mask), self._again
        if again is not None:
            piece, self._again = Piece.joined([again, piece]), None
        if self._records:
            if self._held is None:
                copies = [{name: each.clone() for name, each in memory.tensors.items()} for memory in self.memories]
                self._held = _Held(copies, self.real, self.seen, [])
            self._held.pieces.append(piece)
        return piece.input_ids, piece.inputs_embeds, piece.mask, 0 if again is None else again.mask.shape[1]

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

    def counted(self) -> Int[Tensor, " batch"] | int:
        """The number of real tokens that each item has had."""
        again = 0 if self._again is None else self._again.mask.sum(-1)
        return again + (0 if self.real is None else self.real)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """The number of tokens that were read, padding included."""
        return self.seen + (0 if self._again is None else self._again.mask.shape[1])

    def get_max_length(self, layer_idx: int | None = None) -> int:
        """-1: a cache has no greatest length."""
        return -1

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """The length of a mask over all tokens after a call with so many, and where it begins."""
        return self.get_seq_length() + query_length, 0

    def activate_past_recording(self) -> None:
        """Make it possible to take back what is read from now on."""
        self._records = True

    def crop(self, tokens_to_remove: int) -> None:
        """Take back the last tokens, `-tokens_to_remove` of them; what was read before them can then no longer be.

        Raises:
            ValueError: a positive number, or more tokens than were read since `activate_past_recording` or since the
                last call of this.
        """
        removed = -tokens_to_remove
        if removed < 0:
            raise ValueError(f"crop({tokens_to_remove}): give the number of tokens to take back, negative")
        held = self._held
        read = self._again if held is None else Piece.joined(held.pieces)
        length = 0 if read is None else read.mask.shape[1]
        if removed > length:
            raise ValueError(
                f"crop({tokens_to_remove}): {length} tokens can be taken back, those that were read since "
                "activate_past_recording() or since the last crop; layers have forgotten what came before them"
            )
        self._held = None
        if not removed or read is None:
            return
        if held is not None:
            for memory, tensors in zip(self.memories, held.memories, strict=True):
                # A part of a memory has the same mapping, which must stay.
                memory.tensors.clear()
                memory.tensors.update(tensors)
            self.real, self.seen = held.real, held.seen
        self._again = read.before(length - removed) if removed < length else None

    def reorder_cache(self, beam_idx: Int[Tensor, " batch"]) -> None:
        """Let item `i` go on from where item `beam_idx[i]` was."""
        for memory in self.memories:
            memory.reorder(beam_idx)
        if self.real is not None:
            self.real = self.real.index_select(0, beam_idx.to(self.real.device))
        if self._again is not None:
            self._again = self._again.of_items(beam_idx)
        # What is held has items in another order.
        self._held = None

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Let each item go on as so many items, one after the other."""
        if self.real is not None:
            items = torch.arange(len(self.real), device=self.real.device)
            self.reorder_cache(items.repeat_interleave(repeats))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these items of the batch, by their indices or by True."""
        self.reorder_cache(indices.nonzero()[:, 0] if indices.dtype == torch.bool else indices)

    def reset(self) -> None:
        """Forget everything."""
        for memory in self.memories:
            memory.tensors.clear()
        self.real, self.seen, self.rounds, self._held, self._again = None, 0, None, None, None

    @property
    def batch_size(self) -> int:
        """The number of items; -1 before the first call."""
        return -1 if self.real is None else len(self.real)

    @property
    def is_compileable(self) -> bool:
        return False

    @property
    def is_croppable(self) -> bool:
        return True

    @property
    def is_initialized(self) -> bool:
        return self.real is not None

    @property
    def nbytes(self) -> int:
        """The size of all memories in bytes."""
        return sum(memory.nbytes for memory in self.memories)


def check_cache(given: Any) -> None:
    """Refuse a cache of transformers.

    Raises:
        TypeError: it is not a `ReformerCache`.
    """
    if given is not None and not isinstance(given, ReformerCache):
        raise TypeError(
            f"past_key_values of type {type(given).__name__}: these models have a cache of their own, a ReformerCache, "
            "which a call with use_cache=True begins; hashed layers keep tokens by their buckets, so keys and values "
            "that no token has had, such as those of prefix tuning, have no place in it. For prompts that are learned "
            "use peft's PromptTuningConfig or PromptEncoderConfig, whose tokens the model reads"
        )
