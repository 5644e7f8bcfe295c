"""The vectors that all attention cores are given, the two actions that time a core, and the checks of one."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.case import NO_LIMIT, Action, Contender, ContractError

HEAD_DIM = 64
HEADS = 8
WINDOW = 64
"""The window of our attention in a bucket, and the length of the others' chunks."""

CHECK_LENGTH = 512
"""Where contracts are checked: several buckets, a multiple of everybody's chunks."""

Core = Callable[[Tensor, Tensor], Tensor]
"""Shared queries and keys, and values, to the output."""


def random_leaves(*shape: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Shared queries and keys, and values, as leaves that want a gradient; the same numbers for everybody, on the
    default device."""
    device = torch.get_default_device()
    generator = torch.Generator(device).manual_seed(0)
    query_key, value = (torch.randn(*shape, generator=generator, device=device).to(dtype) for _ in range(2))
    return query_key.requires_grad_(), value.requires_grad_()


def bucket_number(length: int) -> int:
    """As many buckets as there are windows in the sequence, and an even number of them."""
    return max(2, length // WINDOW)


def core_actions(
    core: Callable[..., Tensor], leaves: Sequence[Tensor], module: nn.Module | None = None
) -> dict[str, Action]:
    """`forward` without gradients in evaluation mode; `forward+backward` in training mode, to all leaves."""
    module = module or nn.Identity()

    @cache
    def grad_output() -> Tensor:
        with torch.no_grad():
            return torch.randn_like(core(*leaves))

    def forward(_: None) -> None:
        with torch.no_grad():
            core(*leaves)

    def both(grad: Tensor) -> None:
        torch.autograd.grad(core(*leaves), leaves, grad)

    def train() -> Tensor:
        module.train()
        return grad_output()

    def evaluate() -> None:
        module.eval()

    return {"forward": Action(forward, evaluate), "forward+backward": Action(both, train)}


def attention(
    name: str,
    family: str,
    make: Callable[[int], tuple[Core, nn.Module | None]],
    *,
    shape: Callable[[int], tuple[int, ...]],
    causal: bool,
    dtype: torch.dtype = torch.float32,
    longest: int = NO_LIMIT,
    **options: Any,
) -> Contender:
    """One attention core over random vectors.

    Args:
        make: the core for a length, and the module that it belongs to, if any.
        shape: of queries and values for a length; tokens stand in the last dimension but one.
        causal: whether it must not see the future.
    """

    def build(length: int) -> dict[str, Action]:
        core, module = make(length)
        return core_actions(core, random_leaves(*shape(length), dtype=dtype), module)

    def check() -> str:
        leaves = random_leaves(*shape(CHECK_LENGTH), dtype=dtype)
        return finite_and_causal(make(CHECK_LENGTH)[0], leaves, must_be_causal=causal)

    options |= {"heads": HEADS, "dtype": short_name(dtype)}
    return Contender(name, family, build, check, options, longest)


def short_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def error_from(core: Core, exact: Core, leaves: Sequence[Tensor], tolerance: float) -> str:
    """The error of outputs and gradients from those of a definition in float64, as a part of its greatest number.

    Raises:
        ContractError: it is above the tolerance, or NaN.
    """
    given = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    doubled = [leaf.detach().double().requires_grad_() for leaf in leaves]
    output, expected = core(*given), exact(*doubled)
    grad = torch.randn_like(output)
    found = [output, *torch.autograd.grad(output, given, grad)]
    wanted = [expected, *torch.autograd.grad(expected, doubled, grad.double())]
    pairs = zip(found, wanted, strict=True)
    error = max(float((a - b).detach().abs().max() / b.detach().abs().max()) for a, b in pairs)
    if not error <= tolerance:
        raise ContractError(f"{error:.1e} from the reference, at most {tolerance:.0e} is allowed")
    return f"{error:.1e} from the reference, values and gradients, at length {CHECK_LENGTH}"


def finite_and_causal(core: Core, leaves: tuple[Tensor, Tensor], *, must_be_causal: bool) -> str:
    """Check that outputs and gradients are finite, and count the tokens that see a change of the future."""
    torch.manual_seed(1)
    output = core(*leaves)
    gradients = torch.autograd.grad(output, leaves, torch.randn_like(output))
    length = output.shape[-2]
    for name, tensor in (("output", output), ("gradient", gradients[0]), ("gradient", gradients[1])):
        if not tensor.isfinite().all() or not tensor.any():
            raise ContractError(f"the {name} at length {length} is not finite, or all zero")
    middle = length // 2
    with torch.no_grad():
        edited = tuple(leaf.detach().clone() for leaf in leaves)
        for leaf in edited:
            leaf[..., middle:, :] = torch.randn_like(leaf[..., middle:, :])
        # The same hash rotations for both: cores that draw them do so from here.
        torch.manual_seed(2)
        before = core(*leaves)[..., :middle, :]
        torch.manual_seed(2)
        after = core(*edited)[..., :middle, :]
    changed = ((before - after).abs() > 1e-5).movedim(-2, 0).flatten(1).any(1).sum().item()
    if changed and must_be_causal:
        raise ContractError(f"an edit from token {middle} on changed {changed} of the {middle} outputs before it")
    return (
        f"finite output and gradients; an edit from token {middle} on changed {changed} of {middle} outputs before it"
    )
