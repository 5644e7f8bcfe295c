"""Random draws of a pass in training: from the global generator, or from one that the calling thread was given."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class _OfThread(threading.local):
    generator: torch.Generator | None = None
    part: "_OfPart | None" = None


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


class _OfPart:
    """Generators of one of several processes that hold parts of the same rows, one a device."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._seed: int | None = None
        self._generators: dict[torch.device, torch.Generator] = {}

    def of(self, device: torch.device) -> torch.Generator:
        if self._seed is None:
            # Drawn as late as this, so that where nothing is drawn for tokens, all else is as in one process.
            self._seed = seed_of_part(
                int(torch.randint(1 << 48, (), generator=generator(), device="cpu")), self._process
            )
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]


def seed_of_part(seed: int, process: int) -> int:
    """A seed of each process's own, made of one that all have."""
    mixed = (seed + 1 + process) * 0x9E3779B97F4A7C15 % (1 << 64)
    return (mixed ^ (mixed >> 29)) % (1 << 48)


@contextmanager
def drawing_for_part(process: int) -> Iterator[None]:
    """Let this thread draw for tokens from generators of this process alone, and everything else from the one that it
    draws from now, which is in the same state on all processes that hold parts of the same rows."""
    before, _OF_THREAD.part = _OF_THREAD.part, _OfPart(process)
    try:
        yield
    finally:
        _OF_THREAD.part = before


def token_generator(device: torch.device) -> torch.Generator | None:
    """The generator for draws of which there is one a token; that of `generator` unless a row has several parts."""
    part = None if torch.compiler.is_compiling() else _OF_THREAD.part
    return generator() if part is None else part.of(device)


def dropout(hidden: Tensor, probability: float, training: bool) -> Tensor:
    """Zeros in place of some elements, each with this probability; the others are scaled, so that the mean stays."""
    own = generator() if not training or probability == 0 else token_generator(hidden.device)
    if own is None or not training or probability == 0:
        return torch.nn.functional.dropout(hidden, probability, training)
    kept = torch.empty_like(hidden).bernoulli_(1 - probability, generator=own)
    return hidden * kept.div_(1 - probability)
