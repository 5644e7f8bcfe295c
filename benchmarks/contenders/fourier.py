"""Long filters and circulant matrices by Fourier transforms, beside their dense forms."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, pad

from benchmarks.case import NO_LIMIT, Action, Contender, ContractError
from benchmarks.contenders.vectors import CHECK_LENGTH, core_actions

CHANNELS = 256
INNER = 1024


def long_filters(name: str, family: str, lags: int, *, direct: bool = False, longest: int = NO_LIMIT) -> Contender:
    """Every channel with its own causal filter of so many lags; `direct` is torch's own grouped convolution."""
    from reformer.ops.long_convolution import long_convolution

    def by_transforms(inputs: Tensor, filters: Tensor) -> Tensor:
        return long_convolution(inputs, filters, causal=True)

    core = _direct if direct else by_transforms

    def leaves(length: int) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(0)
        shapes = ((1, CHANNELS, length), (CHANNELS, lags))
        return tuple(torch.randn(shape, generator=generator).requires_grad_() for shape in shapes)

    def build(length: int) -> dict[str, Action]:
        given = leaves(length)
        return core_actions(core, given)

    def check() -> str:
        inputs, filters = leaves(CHECK_LENGTH)
        difference = (by_transforms(inputs, filters) - _direct(inputs, filters)).abs().max() / filters.norm(dim=1).max()
        if difference > 1e-5:
            raise ContractError(f"the two forms differ by {difference:.1e} of a filter's norm")
        return f"the two forms differ by {difference:.1e} of a filter's norm"

    return Contender(name, family, build, check, {"channels": CHANNELS, "lags": lags}, longest)


def feed_forward(name: str, family: str, block: int) -> Contender:
    """A feed-forward whose matrices are made of circulant blocks; dense for a block of 0."""
    from reformer.nn import CirculantLinear, FeedForward, Replay, Tokens

    def linear(inside: int, outside: int) -> nn.Module:
        return CirculantLinear(inside, outside, block) if block else nn.Linear(inside, outside)

    def layer(length: int) -> tuple[nn.Module, Callable[[Tensor], Tensor], Tensor]:
        torch.manual_seed(0)
        module = FeedForward(CHANNELS, INNER, linear=linear)
        tokens = Tokens.of(torch.ones(1, length, dtype=torch.bool), padded=False)
        return module, lambda hidden: module(hidden, tokens, Replay()), torch.randn(1, length, CHANNELS)

    def build(length: int) -> dict[str, Action]:
        module, run, hidden = layer(length)
        leaves = (hidden.requires_grad_(), *module.parameters())
        return core_actions(lambda hidden, *_: run(hidden), leaves, module)

    def check() -> str:
        module, run, hidden = layer(CHECK_LENGTH)
        if not run(hidden).isfinite().all():
            raise ContractError("the output is not finite")
        return f"{sum(parameter.numel() for parameter in module.parameters()):,} weights"

    return Contender(name, family, build, check, {"hidden": CHANNELS, "inner": INNER, "block": block})


def _direct(inputs: Tensor, filters: Tensor) -> Tensor:
    return conv1d(pad(inputs, (filters.shape[1] - 1, 0)), filters.flip(1)[:, None], groups=len(filters))
