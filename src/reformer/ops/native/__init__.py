"""Loader of the compiled CPU kernels: chooses the fastest variant for this processor, and calls into it.

`setup.py` compiles the same sources several times, for older and newer processors, as plain C libraries, which do not
link to torch: a call passes pointers, sizes and the number of threads, and releases the interpreter's lock. Where no
library was built, plain PyTorch takes its place.

The environment variable `REFORMER_CPU_VARIANT` names another variant than the fastest, or `none`. It is read when this
module is imported.
"""

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from reformer.errors import ReformerError
from reformer.ops import reuse

VARIANTS = ("generic", "avx2", "avx512", "avx512_bf16", "amx", "neon", "neon_bf16")
"""Variants that `setup.py` may have compiled, of each family of processors from the slowest to the fastest."""

BASES = ("generic", "neon")
"""Variants that every processor of a family runs; of each family one is compiled."""

CHOICE = "REFORMER_CPU_VARIANT"

DTYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2}
"""Dtypes of the kernels, and their numbers there."""

MAX_LENGTH = 2**31 - 1
"""Tokens of a sequence, at most: the kernels count places in a row with 32 bits."""


def _open(variant: str) -> ctypes.CDLL | None:
    path = Path(__file__).with_name(f"kernels_{variant}.so")
    return ctypes.CDLL(str(path)) if path.exists() else None


def _load() -> tuple[ctypes.CDLL | None, str]:
    """The library to use and the name of its variant; or None and the reason.

    Raises:
        ReformerError: the environment variable names a variant that does not exist or that this processor cannot run.
    """
    wanted = os.environ.get(CHOICE)
    if wanted == "none":
        return None, f"{CHOICE}=none"
    if wanted and wanted not in VARIANTS:
        raise ReformerError(f"{CHOICE}={wanted}: expected one of {', '.join(VARIANTS)}, or none")
    try:
        base = next(filter(None, map(_open, BASES)), None)
    except OSError as error:
        return None, f"the compiled kernels cannot be loaded: {error}"
    if base is None:
        return None, "the kernels were not compiled; install a C++17 compiler and install this package again"
    for level, variant in reversed(list(enumerate(VARIANTS))):
        if wanted and variant != wanted:
            continue
        library = _open(variant) if base.reformer_processor_runs(level) else None
        if library is not None:
            return library, variant
    raise ReformerError(f"{CHOICE}={wanted}: this variant was not compiled, or this processor cannot run it")


class HashCall(ctypes.Structure):
    """Mirrors `HashCall` in orderings/cpu.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("batch", "heads", "length", "dim")),
        *((name, ctypes.c_int64) for name in ("rounds", "factors", "dtype", "threads")),
        ("vectors", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("batch_step", "head_step", "token_step")),
        ("rotations", ctypes.POINTER(ctypes.c_void_p)),
        ("halves", ctypes.POINTER(ctypes.c_int64)),
        ("buckets", ctypes.c_void_p),
    )


class SlotCall(ctypes.Structure):
    """Mirrors `SlotCall` in orderings/cpu.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("batch", "rows", "queries", "keys")),
        *((name, ctypes.c_int64) for name in ("most_buckets", "aligned", "causal", "threads")),
        *((name, ctypes.c_void_p) for name in ("query_buckets", "key_buckets", "query_mask", "key_mask", "slots")),
    )


class ArrayArgument(ctypes.Structure):
    """Mirrors `Array` in window_attention/cpu.cpp."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("batch", "head", "token")),
    )

    @classmethod
    def of(cls, tensor: Float[Tensor, "batch heads length head_dim"]) -> "ArrayArgument":
        return cls(tensor.data_ptr(), *tensor.stride()[:3])


class SlotsArgument(ctypes.Structure):
    """Mirrors `SlotArray` in window_attention/cpu.cpp."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("batch", "head", "ordering", "token")),
    )

    @classmethod
    def of(cls, slots: Int[Tensor, "batch heads orderings length"]) -> "SlotsArgument":
        steps = [step if size > 1 else 0 for size, step in zip(slots.shape, slots.stride(), strict=True)]
        return cls(slots.data_ptr(), *steps)


class AttentionCall(ctypes.Structure):
    """Mirrors `Call` in window_attention/cpu.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("batch", "heads", "queries", "keys", "dim", "orderings")),
        ("windows", ctypes.POINTER(ctypes.c_int64)),
        *((name, ctypes.c_int64) for name in ("causal", "attend_self", "deduplicate", "shared", "dtype", "threads")),
        *((name, ctypes.c_double) for name in ("scale", "shortest")),
        *((name, ArrayArgument) for name in ("query", "key", "value", "output")),
        *((name, ArrayArgument) for name in ("grad_output", "grad_query", "grad_key", "grad_value")),
        *((name, SlotsArgument) for name in ("query_slots", "key_slots")),
        ("log_sum", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("transform", "coefficients")),
        *((name, ctypes.c_void_p) for name in ("coefficient", "grad_coefficient")),
    )


class UnitCall(ctypes.Structure):
    """Mirrors `UnitCall` in unit_vectors.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("batch", "heads", "length", "dim", "dtype", "threads")),
        ("shortest", ctypes.c_double),
        *((name, ArrayArgument) for name in ("vectors", "units", "grad_vectors")),
    )


_SIZES = {
    "reformer_hash_call_size": HashCall,
    "reformer_slot_call_size": SlotCall,
    "reformer_unit_call_size": UnitCall,
    "reformer_window_attention_call_size": AttentionCall,
}


def _matches(library: ctypes.CDLL) -> bool:
    """Whether the library was compiled from the sources that this package has."""
    for function, structure in _SIZES.items():
        if not hasattr(library, function):
            return False
        getattr(library, function).restype = ctypes.c_int64
        if getattr(library, function)() != ctypes.sizeof(structure):
            return False
    return True


LIBRARY, VARIANT = _load()
"""The library in use and the name of its variant; or None and the reason."""

if LIBRARY is not None and not _matches(LIBRARY):
    LIBRARY, VARIANT = None, "the compiled kernels are older than the package; install it again"
if LIBRARY is not None:
    LIBRARY.reformer_prefer_large_pages.argtypes = (ctypes.c_void_p, ctypes.c_int64)
    LIBRARY.reformer_prefer_large_pages.restype = None

WORTH_LARGE_PAGES = 4 << 20
"""Bytes from which new memory is requested in large pages."""


def multiplies_bfloat16() -> bool:
    """Whether the kernels in use, and so this processor, multiply bfloat16 natively.

    Elsewhere bfloat16 is converted to float32 first, and saves no time. False without kernels and on ARM, where the
    speed of bfloat16 has not been measured.

    Example:
        >>> multiplies_bfloat16() in (True, False)
        True
    """
    return LIBRARY is not None and VARIANT in ("avx512_bf16", "amx")


def why_unsupported(tensor: Shaped[Tensor, "..."]) -> str | None:
    """Why no kernel can take this tensor; None if a kernel can."""
    if LIBRARY is None:
        return VARIANT
    if tensor.device.type != "cpu":
        return f"the tensor is on {tensor.device}, the kernels are for the CPU"
    if tensor.is_floating_point() and tensor.dtype not in DTYPES:
        return f"the dtype is {tensor.dtype}; the kernels take {', '.join(map(str, DTYPES))}"
    return None


def empty_like(tensor: Shaped[Tensor, "*any"]) -> Shaped[Tensor, "*any"]:
    """`reuse.empty_like`, in large pages for `WORTH_LARGE_PAGES` or more."""
    empty = reuse.empty_like(tensor)
    storage = empty.untyped_storage()
    if LIBRARY is not None and storage.nbytes() >= WORTH_LARGE_PAGES:
        LIBRARY.reformer_prefer_large_pages(storage.data_ptr(), storage.nbytes())
    return empty


def integers(values: Sequence[int]) -> Any:
    """A C array of 64-bit integers, which has to stay alive during the call."""
    return (ctypes.c_int64 * len(values))(*values)


def call(function: str, argument: ctypes.Structure) -> None:
    """Call a kernel, and raise the error that it reports.

    Raises:
        MemoryError: there is not enough memory for its workspace.
        ValueError: a bucket is out of range.
        RuntimeError: any other failure.
    """
    if LIBRARY is None:
        raise RuntimeError(f"{function}: {VARIANT}")
    status = getattr(LIBRARY, function)(ctypes.byref(argument))
    if status == 1:
        raise MemoryError(f"{function}: not enough memory for its workspace")
    if status == 4:
        raise ValueError("buckets out of range: expected integers from 0 to below `most_buckets`")
    if status:
        raise RuntimeError(f"{function} failed with status {status}")
