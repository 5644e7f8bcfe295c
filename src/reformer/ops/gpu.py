"""Whether Triton's kernels can run here, for every op that has some. Nothing here imports triton.

On a machine without a GPU the kernels run in Triton's interpreter, slowly and exactly, where the environment variable
`TRITON_INTERPRET` was 1 from the start. That is for tests: there a backend has to be named.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from importlib import util

import torch
from torch import Tensor

from reformer.ops import self_check

INTERPRETER = "TRITON_INTERPRET"

DEVICES = ("cuda",)
"""Where the kernels are chosen unasked."""

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)

LONGEST = 2**31 - 1 - (1 << 16)
"""The most tokens a sequence may have: places in a row are counted with 32 bits, a tile beyond the end included."""

OLDEST = (8, 0)
"""The lowest compute capability that multiplies bfloat16 in tensor cores."""


INTERPRETED = os.environ.get(INTERPRETER) == "1"
"""Whether kernels run in the interpreter. Asked once, because kernels are made for one or the other."""

MISSING = (
    "triton is not installed; `pip install 'reformer-torch[gpu]'` brings it on Linux"
    if util.find_spec("triton") is None
    else None
)


def unavailable() -> str | None:
    """Why no kernel runs on this machine; None if they do, on a GPU or in the interpreter."""
    if MISSING is not None or INTERPRETED:
        return MISSING
    if not torch.cuda.is_available():
        return f"torch sees no GPU (kernels can be tried without one by {INTERPRETER}=1, slowly)"
    if torch.version.cuda is None:
        return "the kernels were not tried on GPUs other than NVIDIA's"
    card = torch.cuda.get_device_properties()
    if (card.major, card.minor) < OLDEST:
        return f"the GPU has compute capability {card.major}.{card.minor}, the kernels need at least 8.0"
    return None


def status() -> str:
    """How the kernels run here, or why they do not, told to people."""
    reason = unavailable()
    if reason is not None:
        return f"not available: {reason}"
    if INTERPRETED:
        return f"available: in the interpreter ({INTERPRETER}=1), where a backend has to be named"
    card = torch.cuda.get_device_name()
    wrong = self_check.distrust(torch.device("cuda", torch.cuda.current_device()))
    if wrong is not None:
        return f"by name alone: tried on {card}, {wrong}"
    return f"available: {card}, where a small call gave what the definition gives"


def refusal(tensor: Tensor) -> str | None:
    """Why no kernel can work on this tensor; None if one can."""
    reason = unavailable()
    if reason is not None:
        return reason
    if tensor.device.type != "cuda" and not INTERPRETED:
        return f"the tensor is on {tensor.device}, the kernels are for GPUs"
    if tensor.is_floating_point() and tensor.dtype not in DTYPES:
        return f"the dtype is {tensor.dtype}; the kernels take {', '.join(map(str, DTYPES))}"
    return None


def serves(tensor: Tensor) -> bool:
    """Whether a kernel works on this tensor and is chosen unasked: on a card where a small call went well."""
    if tensor.device.type not in DEVICES or refusal(tensor) is not None:
        return False
    return INTERPRETED or self_check.distrust(tensor.device) is None


def in_a_graph() -> bool:
    """Whether this call is traced, or captured into a CUDA graph: then nobody may ask what a tensor holds."""
    return torch.compiler.is_compiling() or (torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing())


def on(tensor: Tensor) -> AbstractContextManager[object]:
    """Launch on the tensor's device, which need not be the current one."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def rows(tensor: Tensor) -> Tensor:
    """The tensor itself if its vectors are contiguous: everything else about its layout is honoured."""
    return tensor if tensor.stride(-1) == 1 or tensor.shape[-1] == 1 else tensor.contiguous()


def power(number: int, least: int = 1) -> int:
    """The smallest power of two that is neither below the number nor below `least`."""
    return max(least, 1 << max(0, number - 1).bit_length())
