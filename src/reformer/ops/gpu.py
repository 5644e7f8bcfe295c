"""Whether Triton's kernels can run on this machine, and the helpers of every launch; triton itself is not imported.

On a machine without a GPU the kernels run in Triton's interpreter, slowly and exactly, if the environment variable
`TRITON_INTERPRET` is 1 when this module is imported. The interpreter is for tests: a call has to name the backend.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from importlib import util

import torch
from jaxtyping import Shaped
from torch import Tensor

INTERPRETER = "TRITON_INTERPRET"

DEVICES = ("cuda",)
"""Device types on which the kernels are chosen by default."""

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
"""Floating dtypes that the kernels take."""

MAX_LENGTH = 2**31 - 1 - (1 << 16)
"""Tokens of a sequence: kernels count positions with 32 bits, those of a tile that reaches past the end included."""

MIN_COMPUTE_CAPABILITY = (8, 0)
"""The lowest compute capability whose tensor cores multiply bfloat16."""

INTERPRETED = os.environ.get(INTERPRETER) == "1"
"""Whether kernels run in the interpreter. Read once, because `triton.jit` fixes it when a kernel is defined."""

MISSING = (
    "triton is not installed; `pip install 'reformer-torch[gpu]'` brings it on Linux"
    if util.find_spec("triton") is None
    else None
)
"""Why triton cannot be imported; None if it can."""


def why_unavailable() -> str | None:
    """Why no kernel runs on this machine; None if kernels run, on a GPU or in the interpreter."""
    if MISSING is not None or INTERPRETED:
        return MISSING
    if not torch.cuda.is_available():
        return f"torch sees no GPU (kernels can be tried without one by {INTERPRETER}=1, slowly)"
    if torch.version.cuda is None:
        return "the kernels were tested on NVIDIA's GPUs only"
    card = torch.cuda.get_device_properties()
    if (card.major, card.minor) < MIN_COMPUTE_CAPABILITY:
        needed = ".".join(map(str, MIN_COMPUTE_CAPABILITY))
        return f"the GPU has compute capability {card.major}.{card.minor}, the kernels need at least {needed}"
    return None


def why_unsupported(tensor: Shaped[Tensor, "..."]) -> str | None:
    """Why no kernel can take this tensor; None if a kernel can."""
    reason = why_unavailable()
    if reason is not None:
        return reason
    if tensor.device.type != "cuda" and not INTERPRETED:
        return f"the tensor is on {tensor.device}, the kernels are for GPUs"
    if tensor.is_floating_point() and tensor.dtype not in DTYPES:
        return f"the dtype is {tensor.dtype}; the kernels take {', '.join(map(str, DTYPES))}"
    return None


def is_capturing() -> bool:
    """Whether this call is traced, or captured into a CUDA graph: then no branch may depend on a tensor's values."""
    return torch.compiler.is_compiling() or (torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing())


def device_guard(tensor: Shaped[Tensor, "..."]) -> AbstractContextManager[object]:
    """A context in which the tensor's device is the current one, which is where Triton launches."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def next_power_of_2(number: int, minimum: int = 1) -> int:
    """The smallest power of two that is at least `number` and at least `minimum`, itself a power of two.

    Example:
        >>> next_power_of_2(5), next_power_of_2(5, 16)
        (8, 16)
    """
    return max(minimum, 1 << max(0, number - 1).bit_length())
