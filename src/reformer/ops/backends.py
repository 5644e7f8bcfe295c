"""Status of every backend on this machine, as `reformer env` prints it."""

import torch

from reformer.ops import gpu, native
from reformer.ops.orderings import slots
from reformer.ops.self_check import SelfCheck
from reformer.ops.window_attention import dispatch


def backend_status() -> dict[str, str]:
    """Every backend of `window_attention`, fastest first: how it runs on this machine, or why it does not.

    Example:
        >>> backend_status()["eager"]
        'available'
    """
    status = dict.fromkeys(dispatch.BACKENDS, "available")
    if "cpu" in status:
        threads = torch.get_num_threads()
        kernels = f"available: {native.VARIANT} kernels, {threads} threads"
        status["cpu"] = f"not available: {native.VARIANT}" if native.LIBRARY is None else kernels
    if "triton" in status:
        status["triton"] = _triton_status([*dispatch.SELF_CHECKS, *slots.SELF_CHECKS])
    return status


def _triton_status(checks: list[SelfCheck]) -> str:
    reason = gpu.why_unavailable()
    if reason is not None:
        return f"not available: {reason}"
    if gpu.INTERPRETED:
        return f"available: in the interpreter ({gpu.INTERPRETER}=1), only if a call names the backend"
    card = torch.cuda.get_device_name()
    device = torch.device("cuda", torch.cuda.current_device())
    failures = {check.name: failure for check in checks if (failure := check.failure(device)) is not None}
    if not failures:
        return f"available: {card}, where small calls gave what the definitions give"
    reasons = "; ".join(f"{name}: {failure}" for name, failure in failures.items())
    if len(failures) < len(checks):
        return f"available: {card}, but plain PyTorch takes the place of some kernels ({reasons})"
    return f"only if a call names it: tried on {card}, {reasons}"
