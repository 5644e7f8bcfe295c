"""Streaming: reading a sequence in pieces of any size, with a state that does not grow."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Stream:
    """A causal model in the middle of a sequence.

    Each call reads the next piece and returns the model's output for it, the same as for that part of the sequence
    read at once. With hashed and local layers the state has a constant size, so a stream may be of any length that the
    positions allow; no gradient is kept. Made by a causal model's `stream()`.

    Example:
        >>> stream = model.stream()                                          # doctest: +SKIP
        >>> for piece in ids.split(1000, dim=1):                             # doctest: +SKIP
        ...     logits = stream(piece).logits                                # doctest: +SKIP
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.cache = model.base_model.new_cache()

    @torch.no_grad()
    def __call__(self, input_ids: Tensor | None = None, **inputs: Any) -> Any:
        """Read `[batch, length]` more tokens; takes what the model's `forward` takes."""
        return self._model(input_ids=input_ids, past_key_values=self.cache, use_cache=True, **inputs)

    def state(self) -> dict[str, Tensor]:
        """The state as tensors by name; a new stream of the same model goes on from it by `restore`."""
        if self.cache.real is None:
            return {}
        state = {"real": self.cache.real, "seen": torch.tensor(self.cache.seen)}
        if self.cache.rounds is not None:
            state["rounds"] = torch.tensor(self.cache.rounds)
        for number, memory in enumerate(self.cache.memories):
            state |= {f"{number}.{name}": tensor for name, tensor in memory.tensors.items()}
        return {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state`, in place of whatever was read so far.

        Raises:
            ValueError: it is the state of a model with other layers.
        """
        cache = self._model.base_model.new_cache()
        device = self._model.device
        for key, tensor in state.items():
            number, _, name = key.partition(".")
            if name and not (number.isdecimal() and int(number) < len(cache.memories)):
                raise ValueError(f"the state holds {key!r}, and this model has {len(cache.memories)} memories")
            if name:
                # A stream writes into its tensors, and the given ones are not its own.
                cache.memories[int(number)].tensors[name] = tensor.to(device, copy=True)
        if state:
            cache.real, cache.seen = state["real"].to(device, copy=True), int(state["seen"])
        if "rounds" in state:
            cache.rounds = int(state["rounds"])
        self.cache = cache
