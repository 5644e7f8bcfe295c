"""Hourglass: a stack whose middle layers run on a shortened sequence (`docs/math.md`, equation 33)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad

from reformer.nn.fusion import StridedConvolution, TrailingRangePooling, real_steps
from reformer.nn.layer_drop import LayerDrop
from reformer.nn.memory import Memory
from reformer.nn.norms import NORMS
from reformer.nn.past_inputs import after_history, pack_real
from reformer.nn.recomputation import Recompute
from reformer.nn.reversible import ReversibleSequence, Streams
from reformer.nn.sequence_part import NeedsWholeRows
from reformer.nn.tokens import Tokens
from reformer.ops import gpu


class Hourglass(nn.Module, NeedsWholeRows):
    """Some sub-layers on all tokens, some on one step for every `stride` tokens, and the rest on all tokens again.

    Both streams together are shortened by a fusion layer: a `StridedConvolution` of `kernel` tokens, whose steps are
    mixed by gates in a `TrailingRangePooling`. Each token then gains what the middle made of its step. In a causal
    stack a step ends with its last token and the token reads the last step that has ended, so nothing is seen ahead of
    time; in pieces the same steps come out. Padding is invisible. Memory is flat in the depth of each of the three
    parts.

    Args:
        before, middle, after: the sub-layers of each part.
        hidden_size: the width of each stream.
        size: the width of a step before it is mapped to streams.
        kernel, stride: of the convolution.
        ranges: how many steps are pooled together, see `TrailingRangePooling`.
        causal: see no later token.
        reversible: see `ReversibleSequence`.
        eps, norm: of the norms, see `SubLayer`.
        drop: which layers of each part a training pass leaves out; None for none.
    """

    def __init__(
        self,
        before: Iterable[nn.Module],
        middle: Iterable[nn.Module],
        after: Iterable[nn.Module],
        hidden_size: int,
        *,
        size: int,
        kernel: int,
        stride: int,
        ranges: Sequence[int] = (),
        causal: bool = False,
        reversible: Recompute = True,
        eps: float = 1e-6,
        norm: str = "layer",
        drop: LayerDrop | None = None,
    ) -> None:
        super().__init__()
        self.stride, self.causal = stride, causal
        self.before = ReversibleSequence(before, reversible, drop)
        self.middle = ReversibleSequence(middle, reversible, drop)
        self.after = ReversibleSequence(after, reversible, drop)
        width = 2 * hidden_size
        self.norm = NORMS[norm](width, eps=eps)
        # `align` and `trails` are the names of saved weights.
        self.align = StridedConvolution(width, size, kernel, stride)
        self.trails = TrailingRangePooling(size, ranges)
        self.shorten = nn.Linear(size, width)
        self.middle_norm = NORMS[norm](width, eps=eps)
        self.expand = nn.Linear(width, width)

    def why_whole(self) -> str | None:
        return "shortened_layers: a step of the shortened rows would be of tokens of two parts"

    @property
    def sublayers(self) -> list[nn.Module]:
        """All sub-layers in the order they run."""
        return [*self.before.sublayers, *self.middle.sublayers, *self.after.sublayers]

    @property
    def memory_count(self) -> int:
        """How many memories a forward pass in pieces takes: one a sub-layer, and one for the joints."""
        return sum(part.memory_count for part in (self.before, self.middle, self.after)) + 1

    @property
    def reversible(self) -> Recompute:
        return self.middle.reversible

    @reversible.setter
    def reversible(self, value: Recompute) -> None:
        for part in (self.before, self.middle, self.after):
            part.reversible = value

    def forward(
        self,
        first: Float[Tensor, "batch length hidden"],
        second: Float[Tensor, "batch length hidden"],
        tokens: Tokens,
        memories: Sequence[Memory] | None = None,
        between: None = None,
    ) -> Streams:
        """As `ReversibleSequence`, without streams in between, which shortened layers have for steps alone."""
        begin = self.before.memory_count
        end = begin + self.middle.memory_count
        first, second = self.before(first, second, tokens, memories and memories[:begin])
        hidden = self.norm(torch.cat((first, second), -1))
        if memories is None:
            added = self._whole(hidden, tokens)
        else:
            with torch.no_grad():
                added = self._piece(hidden, tokens, memories[-1], memories[begin:end])
        more_first, more_second = added.chunk(2, -1)
        return self.after(first + more_first, second + more_second, tokens, memories and memories[end:-1])

    def _whole(self, hidden: Tensor, tokens: Tokens) -> Tensor:
        """The middle layers' output for every token of a whole sequence."""
        length, stride = hidden.shape[1], self.stride
        packed = pack_real(hidden, tokens.mask)[0] if tokens.padded else hidden
        if self.causal:
            # Even where no step has ended there is one, masked, so that every weight has a gradient.
            steps = self.align(pad(packed, (0, 0, self.align.kernel - stride, max(0, stride - length))))
            real = torch.arange(steps.shape[1], device=hidden.device) < tokens.mask.sum(-1, keepdim=True) // stride
            reads = (tokens.positions + 1) // stride - 1
        else:
            steps, real = self.align.around(packed), real_steps(tokens.mask, stride)
            reads = tokens.positions // stride
        reach = self.trails.reach
        short = _shortened(tokens, real, None)
        made = self._through(pad(steps, (0, 0, reach, 0)), pad(real, (reach, 0)), short, None)
        return _read(made, reads, tokens.mask & (reads >= 0))

    def _piece(self, hidden: Tensor, tokens: Tokens, memory: Memory, memories: Sequence[Memory]) -> Tensor:
        """The middle layers' output for the tokens of a piece: of the last step before it, or one that ends within."""
        batch, _, width = hidden.shape
        stride, kernel, reach = self.stride, self.align.kernel, self.trails.reach
        device, kept = hidden.device, memory.tensors
        earlier = kept.get("read", torch.zeros(batch, dtype=torch.int64, device=device))
        kept["read"] = earlier + tokens.mask.sum(-1)
        ended = earlier // stride
        new = kept["read"] // stride - ended
        both, _ = after_history(hidden, tokens, memory, "inputs", kernel - 1)
        made = kept.get("last", hidden.new_zeros(batch, 1, width))
        count = int(new.max())
        if count:
            rows = (stride * (ended + 1) - 1 - earlier)[:, None] + torch.arange(
                stride * (count - 1) + kernel, device=device
            )
            rows = rows.clamp_max(both.shape[1] - 1)
            steps = self.align(both.gather(1, rows[..., None].expand(-1, -1, width)))
            real = torch.arange(count, device=device) < new[:, None]
            short = _shortened(tokens, real, ended)
            trail, _ = after_history(steps, short, memory, "steps", reach)
            known = ended[:, None] + torch.arange(-reach, count, device=device) >= 0
            made = torch.cat((made, self._through(trail, known, short, memories)), 1)
            kept["last"] = made.gather(1, new[:, None, None].expand(-1, 1, width))
        reads = (tokens.positions + 1) // stride
        return _read(made, reads - ended[:, None], tokens.mask & (reads > 0))

    def _through(
        self,
        trail: Float[Tensor, "batch rows size"],
        known: Bool[Tensor, "batch rows"],
        short: Tokens,
        memories: Sequence[Memory] | None,
    ) -> Float[Tensor, "batch steps width"]:
        """The middle layers' output for each step; `trail` has the steps that pooling reaches back to in front."""
        streams = self.shorten(self.trails(trail, known)).masked_fill(~short.mask[..., None], 0)
        first, second = streams.chunk(2, -1)
        return self.expand(self.middle_norm(torch.cat(self.middle(first, second, short, memories), -1)))


def _shortened(tokens: Tokens, real: Bool[Tensor, "batch steps"], earlier: Int[Tensor, " batch"] | None) -> Tokens:
    """Steps in place of tokens; `earlier` says how many came before."""
    padded = gpu.is_capturing() or not bool(real.all())
    steps = Tokens.of(real, padded, earlier)
    steps = replace(tokens, mask=real, padded=padded, slots=steps.slots, rotary=None, time=None, global_slots=None)
    return steps if tokens.positioned is None else tokens.positioned(steps)


def _read(
    made: Float[Tensor, "batch steps width"],
    reads: Int[Tensor, "batch length"],
    some: Bool[Tensor, "batch length"],
) -> Float[Tensor, "batch length width"]:
    """To each token the step that it reads; zeros where there is none."""
    index = reads.clamp(0, made.shape[1] - 1)[..., None].expand(-1, -1, made.shape[2])
    return made.gather(1, index).masked_fill(~some[..., None], 0)
