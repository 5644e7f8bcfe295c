"""Random draws of a pass in training: from the global generator, or from one that the calling thread was given."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class _OfThread(threading.local):
    generator: torch.Generator | None = None


_OF_THREAD = _OfThread()


def generator() -> torch.Generator | None:
    """The generator that this thread draws from; None: the global one."""
    # Traced, a lookup in a thread would end the graph; whoever compiles a model draws from the global generator.
    return None if torch.compiler.is_compiling() else _OF_THREAD.generator


@contextmanager
def drawing_from(own: torch.Generator) -> Iterator[None]:
    """Let this thread draw from a generator of its own, so that what others draw meanwhile changes nothing here."""
    before, _OF_THREAD.generator = _OF_THREAD.generator, own
    try:
        yield
    finally:
        _OF_THREAD.generator = before


def dropout(hidden: Tensor, probability: float, training: bool) -> Tensor:
    """Zeros in place of some elements, each with this probability; the others are scaled, so that the mean stays."""
    own = generator()
    if own is None or not training or probability == 0:
        return torch.nn.functional.dropout(hidden, probability, training)
    kept = torch.empty_like(hidden).bernoulli_(1 - probability, generator=own)
    return hidden * kept.div_(1 - probability)
