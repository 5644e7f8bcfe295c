"""Reading a sequence in pieces of any size, with a state that does not grow."""

from typing import Any

import torch
from torch import Tensor

from reformer.models.cache import ReformerCache


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
        self.cache = ReformerCache(len(model.base_model.encoder.sublayers))

    @torch.no_grad()
    def __call__(self, input_ids: Tensor | None = None, **inputs: Any) -> Any:
        """Read `[batch, length]` more tokens; takes what the model's `forward` takes."""
        return self._model(input_ids=input_ids, past_key_values=self.cache, use_cache=True, **inputs)
