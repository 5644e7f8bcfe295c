"""Switch to standard operators: calls in plain PyTorch of fixed shapes, for graphs that leave Python."""

from collections.abc import Iterator
from contextlib import contextmanager

from reformer.ops import gpu


class _Switch:
    on = False


@contextmanager
def standard_operators() -> Iterator[None]:
    """Let every call be computed by operators that PyTorch has itself, whose shapes follow from the inputs' shapes.

    For exporters, whose readers do not know the compiled kernels: what is traced within has none of them. The switch is
    the process's: other threads go the same way meanwhile, and get the same results more slowly.

    Example:
        >>> with standard_operators():
        ...     is_wanted()
        True
    """
    before, _Switch.on = _Switch.on, True
    try:
        yield
    finally:
        _Switch.on = before


def is_wanted() -> bool:
    """Whether this call is to be computed by standard operators."""
    return _Switch.on


def is_traced() -> bool:
    """Whether a call that no kernel serves is to have fixed shapes: it is wanted, or a compiler
    traces it, or a CUDA graph is captured."""
    return _Switch.on or gpu.is_capturing()
