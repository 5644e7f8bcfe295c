"""Memory of a sub-layer between calls, so that a sequence can be read in pieces."""

from collections.abc import Iterator, MutableMapping

from jaxtyping import Int
from torch import Tensor


class Memory:
    """Tensors that one sub-layer carries from piece to piece, by name; the batch is their first dimension."""

    def __init__(self) -> None:
        self.tensors: MutableMapping[str, Tensor] = {}

    def part(self, name: str) -> "Memory":
        """Memory of a part of the sub-layer; its tensors are among these, under names that begin with `name`."""
        part = Memory()
        part.tensors = _Part(self.tensors, f"{name}.")
        return part

    def reorder(self, index: Int[Tensor, " batch"]) -> None:
        """Let item `i` go on from where item `index[i]` was, as beam search needs it."""
        for name, tensor in self.tensors.items():
            self.tensors[name] = tensor.index_select(0, index.to(tensor.device))

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors.values())


class _Part(MutableMapping[str, Tensor]):
    """Those tensors whose names begin with a prefix, by the rest of their names."""

    def __init__(self, whole: MutableMapping[str, Tensor], prefix: str) -> None:
        self._whole, self._prefix = whole, prefix

    def __getitem__(self, name: str) -> Tensor:
        return self._whole[self._prefix + name]

    def __setitem__(self, name: str, tensor: Tensor) -> None:
        self._whole[self._prefix + name] = tensor

    def __delitem__(self, name: str) -> None:
        del self._whole[self._prefix + name]

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self._prefix) for name in self._whole if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)
