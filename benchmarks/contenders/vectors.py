"""The vectors that all attention cores are given, and the two actions that time a core."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from benchmarks.case import Action, ContractError

HEAD_DIM = 64
WINDOW = 64
"""How far our attention sees in a bucket, and the length of the others' chunks."""

CHECK_LENGTH = 512
"""Where contracts are checked: several buckets, a multiple of everybody's chunks."""


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


def core_actions(core: Callable[[], Tensor], leaves: tuple[Tensor, ...], module: nn.Module) -> dict[str, Action]:
    """`forward` without gradients in evaluation mode; `forward+backward` in training mode, to all leaves."""

    @cache
    def grad_output() -> Tensor:
        with torch.no_grad():
            return torch.randn_like(core())

    def forward(_: None) -> None:
        with torch.no_grad():
            core()

    def both(grad: Tensor) -> None:
        torch.autograd.grad(core(), leaves, grad)

    def train() -> Tensor:
        module.train()
        return grad_output()

    def evaluate() -> None:
        module.eval()

    return {"forward": Action(forward, evaluate), "forward+backward": Action(both, train)}


def finite_and_causal(
    core: Callable[[Tensor, Tensor], Tensor], leaves: tuple[Tensor, Tensor], token_dim: int, *, must_be_causal: bool
) -> str:
    """Check that outputs and gradients are numbers, and count the tokens that see a change of the future.

    Args:
        core: query_key and value to the output, whose tokens stand in the same dimension.
        token_dim: which dimension that is.
    """
    torch.manual_seed(1)
    output = core(*leaves)
    gradients = torch.autograd.grad(output, leaves, torch.randn_like(output))
    for name, tensor in (("output", output), ("gradient", gradients[0]), ("gradient", gradients[1])):
        if not tensor.isfinite().all() or not tensor.any():
            raise ContractError(f"the {name} at length {output.shape[token_dim]} is not finite, or all zero")
    middle = output.shape[token_dim] // 2
    with torch.no_grad():
        edited = tuple(leaf.detach().clone() for leaf in leaves)
        for leaf in edited:
            rest = leaf.narrow(token_dim, middle, leaf.shape[token_dim] - middle)
            rest.copy_(torch.randn_like(rest))
        # The same hash rotations for both: cores that draw them do so from here.
        torch.manual_seed(2)
        before = core(*leaves).narrow(token_dim, 0, middle)
        torch.manual_seed(2)
        after = core(*edited).narrow(token_dim, 0, middle)
    changed = ((before - after).abs() > 1e-5).movedim(token_dim, 0).flatten(1).any(1).sum().item()
    if changed and must_be_causal:
        raise ContractError(f"an edit from token {middle} on changed {changed} of the {middle} outputs before it")
    return (
        f"finite output and gradients; an edit from token {middle} on changed {changed} of {middle} outputs before it"
    )
