"""Which backends of the ops work here, told to people."""

import torch

from reformer.ops import gpu, native
from reformer.ops.window_attention import BACKENDS


def backend_status() -> dict[str, str]:
    """Every backend of `window_attention`, fastest first: how it runs here, or why it does not.

    Example:
        >>> backend_status()["eager"]
        'available'
    """
    status = dict.fromkeys(BACKENDS, "available")
    if native.LIBRARY is None:
        status["cpu"] = f"not available: {native.VARIANT}"
    else:
        status["cpu"] = f"available: {native.VARIANT} kernels, {torch.get_num_threads()} threads"
    status["triton"] = gpu.status()
    return status
