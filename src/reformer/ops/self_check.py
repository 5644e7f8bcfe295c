"""Whether the kernels do on this card what the definition says, tried once before they are chosen unasked.

A small call with shared queries and keys in two orderings, forward and backward, in bfloat16 and float32, and the slots
it needs. It takes the time that the kernels need to compile, once; Triton keeps them on disk.
"""

import threading
import warnings

import torch
from torch import Tensor

from reformer.errors import ReformerError

BOUNDS = {torch.bfloat16: 8e-2, torch.float32: 1e-4}
"""How far output and gradients may be from the definition in float64 of the same numbers, relative above 1."""

LENGTH, HEADS, HEAD_DIM, WINDOW, BUCKETS = 200, 2, 64, 64, 8

_FOUND: dict[str, str | None] = {}
"""By device: why the kernels are not chosen there; None if they are."""

_LOCK = threading.Lock()


@torch.compiler.assume_constant_result
def distrust(device: torch.device) -> str | None:
    """Why the kernels are not to be chosen on this device; None if they do what they should. Tried on the first call.

    Raises:
        ReformerError: the first call is made while a CUDA graph is captured.
    """
    key = str(device)
    with _LOCK:
        if key not in _FOUND:
            if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
                raise ReformerError(
                    "the first call on a card checks its kernels, which a CUDA graph cannot hold: make the call once "
                    "before it is captured, as torch asks for anyway"
                )
            _FOUND[key] = _tried(device)
            if _FOUND[key] is not None:
                warnings.warn(
                    f"the triton kernels are not used on {device}: {_FOUND[key]}. Plain PyTorch serves in their place; "
                    "`reformer env` repeats this",
                    stacklevel=2,
                )
    return _FOUND[key]


def _tried(device: torch.device) -> str | None:
    """In a thread of its own, where no autocast, no graph and none of the caller's modes is on."""
    reason: list[str] = []

    def run() -> None:
        try:
            found = discrepancy(device)
        except Exception as error:
            found = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
        if found is not None:
            reason.append(found)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return reason[0] if reason else None


def discrepancy(device: torch.device, length: int = LENGTH) -> str | None:
    """What the kernels get wrong; None if nothing. The definition is computed on the processor."""
    from reformer.ops import orderings
    from reformer.ops.orderings import triton as hashing

    generator = torch.Generator().manual_seed(0)
    query, value, grad = (torch.randn(1, HEADS, length, HEAD_DIM, generator=generator) for _ in range(3))
    rotations = orderings.random_rotations(HEADS, 1, HEAD_DIM, BUCKETS, generator)
    buckets = orderings.hash_buckets(query, rotations)
    found = hashing.hash_buckets(query.to(device), [rotation.to(device) for rotation in rotations]).cpu()
    # Rounding alone moves a token over a bucket's boundary now and then.
    if (found != buckets).sum() > max(1, buckets.numel() // 100):
        return f"{int((found != buckets).sum())} of {buckets.numel()} tokens are in another bucket"
    slots = orderings.bucket_slots(buckets, most_buckets=BUCKETS)
    found = hashing.bucket_slots(buckets.to(device), None, BUCKETS, orderings.BUCKET_STRIDE).cpu()
    if not torch.equal(found, slots):
        return f"{int((found != slots).sum())} of {slots.numel()} tokens have another slot"
    place = orderings.position_slots(torch.ones(1, length, dtype=torch.bool)).expand(1, HEADS, 1, length)
    slots = torch.cat((place, slots), 2)
    for dtype, bound in BOUNDS.items():
        given = [tensor.to(dtype) for tensor in (query, value, grad)]
        wanted = _attended([tensor.double() for tensor in given], slots, "reference")
        results = _attended([tensor.to(device) for tensor in given], slots.to(device), "triton")
        for name, a, b in zip(("output", "gradient of queries", "gradient of values"), results, wanted, strict=True):
            error = float(((a.cpu().double() - b).abs() / (1 + b.abs())).max())
            # Not "above", because no number is above no number.
            if not error <= bound:
                what = f"in {str(dtype).removeprefix('torch.')} the {name} is"
                return f"{what} {error:.1e} off, at most {bound:.0e} is right"
    return None


def _attended(given: list[Tensor], slots: Tensor, backend: str) -> list[Tensor]:
    from reformer.ops import unit_vectors, window_attention
    from reformer.ops.window_attention import shared_window_attention

    query, value, grad = (tensor.detach() for tensor in given)
    inputs = (query.requires_grad_(), value.requires_grad_())
    options = {"window": WINDOW, "causal": True, "attend_self": False, "backend": backend}
    if backend == "reference":
        output = window_attention(query, unit_vectors(query), value, slots, **options)
    else:
        output = shared_window_attention(query, value, slots, **options)
    return [output.detach(), *torch.autograd.grad(output, inputs, grad)]
