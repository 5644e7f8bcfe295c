"""Weights of another architecture, each of which is taken once, so that none is missing and none left over."""

import re
from collections.abc import Mapping

from torch import Tensor

from reformer.errors import ReformerError


class PretrainedError(ReformerError):
    """A model of another architecture that cannot become one of ours."""


class Weights:
    """Weights by the names of their architecture; what a conversion takes is gone, and in the end none may be left."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._left = dict(state)
        self.dropped: list[str] = []
        """Names of those that have no place in our model, with the reason where it is another."""

    def take(self, name: str) -> Tensor:
        """The weight of this name.

        Raises:
            PretrainedError: it is missing, or was taken before.
        """
        if name not in self._left:
            raise PretrainedError(f"the weight {name} is missing; the model is not of the shape that its type has")
        return self._left.pop(name)

    def module(self, ours: str, theirs: str) -> dict[str, Tensor]:
        """Weight and, where there is one, bias of one of their modules, under our names."""
        found = {f"{ours}.weight": self.take(f"{theirs}.weight")}
        if f"{theirs}.bias" in self._left:
            found[f"{ours}.bias"] = self.take(f"{theirs}.bias")
        return found

    def split(self, theirs: str, parts: Mapping[str, int]) -> None:
        """Put several modules in the place of one: names, and how many of its rows each of them has, in their order."""
        for name, weight in self.module("", theirs).items():
            if weight.shape[0] != sum(parts.values()):
                raise PretrainedError(
                    f"the weight {theirs}{name} has {weight.shape[0]} rows; expected {sum(parts.values())}, of "
                    f"{', '.join(parts)}"
                )
            pieces = weight.split(list(parts.values()))
            self._left |= {f"{part}{name}": piece.clone() for part, piece in zip(parts, pieces, strict=True)}

    def drop(self, pattern: str, reason: str = "") -> None:
        """Leave out those whose whole names match the regular expression."""
        gone = [name for name in self._left if re.fullmatch(pattern, name)]
        self.dropped += [f"{name}, {reason}" if reason else name for name in gone]
        for name in gone:
            del self._left[name]

    def finish(self) -> None:
        """Raise a `PretrainedError` if any weight was not taken."""
        if self._left:
            raise PretrainedError(
                f"{len(self._left)} weights have no place in our model: {', '.join(sorted(self._left)[:5])}"
                f"{', ...' * (len(self._left) > 5)}; the model is not of the shape that its type has"
            )
