"""Seam for rows of which several processes hold a part of the tokens each: what layers and heads ask of the others."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from jaxtyping import Bool
from torch import Tensor


@dataclass(frozen=True)
class HeadShare:
    """Neighbouring heads of an attention that one process computes for whole rows (`docs/math.md`, equation 55)."""

    first: int
    heads: int
    key_heads: int
    groups: int
    """In how many groups all heads are divided, each of which stays together."""

    @classmethod
    def of(cls, heads: int, key_heads: int, process: int = 0, processes: int = 1) -> "HeadShare":
        """What process number `process` of so many has: heads that share keys stay together, and the counts of two
        processes differ by one such group at most. Where there are fewer heads of keys than processes, each head of
        queries has a copy of its keys, and is divided from the others."""
        groups = heads if key_heads < processes else key_heads
        together = heads // groups
        first, end = (number * groups // processes for number in (process, process + 1))
        return cls(first * together, (end - first) * together, end - first, groups)

    @property
    def together(self) -> int:
        """How many heads share the keys of one; 1 where this process has none."""
        return self.heads // self.key_heads if self.key_heads else 1


class SequencePart(ABC):
    """The part of each row's tokens that this process holds in one pass, and the ways to the other parts.

    Every process of the group must call the same methods in the same order, in the backward pass and where a layer is
    run again as well. All but `total` are differentiated as what they are, functions of what all processes hold: with
    losses that add up over the processes, gradients of parameters do, too.
    """

    lengths: tuple[int, ...]
    """How many tokens a row has on each process."""

    @property
    @abstractmethod
    def process(self) -> int:
        """The number of this process in its group, in the order of the parts."""

    @property
    @abstractmethod
    def processes(self) -> int:
        """How many processes hold parts of the same rows."""

    @abstractmethod
    def share(self, heads: int, key_heads: int) -> HeadShare:
        """Which of so many heads this process computes."""

    @abstractmethod
    def beginning_with(self, process: int) -> "SequencePart":
        """The same part, where the first heads are those of this process in place of process 0: of several kinds of
        heads, each divided by itself, no process then has few of every kind."""

    @abstractmethod
    def to_heads(self, groups: int, *vectors: Tensor) -> tuple[Tensor, ...]:
        """Vectors of whole rows for the heads that this process computes, `[batch, own heads, all tokens, width]`.

        Args:
            groups: of heads, see `HeadShare`.
            vectors: `[batch, heads, tokens, width]` for this process's tokens, each with a multiple of so many heads.
        """

    @abstractmethod
    def to_tokens(self, groups: int, heads: int, vectors: Tensor) -> Tensor:
        """The way back, of one tensor: `[batch, own heads, all tokens, width]` to `[batch, heads, tokens, width]`."""

    @abstractmethod
    def around(self, vectors: Tensor, before: int, after: int, fill: int = 0) -> Tensor:
        """`[batch, tokens, ...]` with the tokens that stand before and after this part of the rows, `[batch, before +
        tokens + after, ...]`; `fill` where the rows have none. In the dtype of the vectors, of any kind."""

    @abstractmethod
    def gather(self, vectors: Tensor) -> Tensor:
        """`[batch, tokens, ...]` of all parts, one behind the other, on every process."""

    @abstractmethod
    def each(self, tensor: Tensor) -> Tensor:
        """Tensors of one shape of all processes, `[processes, ...]`, on every one."""

    @abstractmethod
    def own(self, vectors: Tensor) -> Tensor:
        """This process's tokens of `[batch, all tokens, ...]`."""

    @abstractmethod
    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, on every one."""

    @abstractmethod
    def sum_before(self, tensor: Tensor) -> tuple[Tensor, Tensor]:
        """The sums over the processes before this one, and over all; no gradient."""

    @abstractmethod
    def once(self, loss: Tensor) -> Tensor:
        """The share that a loss has here which every process has computed whole: of one of them all, of others 0."""

    @abstractmethod
    def total(self, share: Tensor) -> Tensor:
        """The sum of the shares of a loss, on every process; its gradient is that of this process's own share."""

    @abstractmethod
    def drawing(self) -> AbstractContextManager[None]:
        """While it lasts, what is drawn for tokens is drawn for this part of the rows alone."""


class SequenceGroup(ABC):
    """The processes that hold parts of the same rows."""

    @property
    @abstractmethod
    def processes(self) -> int:
        """How many there are."""

    @abstractmethod
    def drawing(self) -> AbstractContextManager[None]:
        """See `SequencePart`."""

    @abstractmethod
    def begin(
        self, mask: Bool[Tensor, "batch length"], *, training: bool
    ) -> tuple[SequencePart, Bool[Tensor, "batch all"]]:
        """This process's part of the rows of one pass, and which tokens of whole rows are real.

        Raises:
            ValueError: parts of different batches, processes that would draw other random numbers in training, or
                padding between real tokens.
        """


class NeedsWholeRows:
    """Base class of modules that say whether a part of each row is enough for them."""

    def why_whole(self) -> str | None:
        """Why this module must have whole rows; None if it serves a part of each, with `Tokens.part`. What does not say
        that it can is refused where rows are divided between processes."""
        return f"{type(self).__name__} does not say that a part of the rows is enough for it"


def why_whole(modules: Sequence[object]) -> str | None:
    """The first reason of any of the modules."""
    reasons = (module.why_whole() for module in modules if isinstance(module, NeedsWholeRows))
    return next((reason for reason in reasons if reason is not None), None)
