"""Gated long convolution, the layer kind "fourier"."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reformer.nn.channels import Channels, StreamChannels
from reformer.nn.layer import Layer
from reformer.nn.memory import Memory
from reformer.nn.past_inputs import after_history, unpack
from reformer.nn.replay import Replay
from reformer.nn.tokens import Tokens
from reformer.ops.long_convolution import long_convolution


class FourierConvolution(Layer):
    """`y = ((h * (x V)) . silu(x G)) O`: every channel has its own filter `h` over the tokens (`docs/math.md`, 34).

    A filter is learned freely, times a decay whose rate is learned too: `h(lag) = f(lag) e^(-a |lag|) c`, where `c`
    keeps its norm as the rate changes. Sources: Poli et al. 2023 (Hyena), gated long convolutions; Fu et al. 2023.

    Args:
        hidden_size: the width outside.
        width: how many channels are convolved.
        kernel: how many tokens the filter reaches back, the token itself included, and if not `causal` ahead.
        causal: see no later token.
    """

    stream_channels: ClassVar[StreamChannels] = {
        "value.weight": {1: Channels.SUMMED},
        "gate.weight": {1: Channels.SUMMED},
        "output.weight": {0: Channels.EACH},
    }

    def __init__(self, hidden_size: int, width: int, kernel: int, causal: bool = False) -> None:
        super().__init__()
        self.kernel, self.causal = kernel, causal
        self.value = nn.Linear(hidden_size, width, bias=False)
        self.gate = nn.Linear(hidden_size, width)
        self.output = nn.Linear(width, hidden_size, bias=False)
        self.filters = nn.Parameter(torch.empty(width, kernel if causal else 2 * kernel - 1))
        self.log_decay = nn.Parameter(torch.empty(width))
        self.reset_learned()

    def why_whole(self) -> str | None:
        return '"fourier" among attention_layers: its filters reach over whole rows'

    @property
    def output_maps(self) -> tuple[nn.Module]:
        return (self.output,)

    @torch.no_grad()
    def reset_learned(self) -> None:
        """Draw the filters, with decays from a filter that ends within a few tokens to one that reaches the end."""
        nn.init.normal_(self.filters)
        rates = torch.linspace(0, 1, len(self.log_decay), device=self.log_decay.device)
        slowest = 2.0 / max(self.kernel, 4)
        self.log_decay.copy_((slowest * (0.5 / slowest) ** rates).log())

    def forward(
        self, hidden: Float[Tensor, "batch length hidden"], tokens: Tokens, replay: Replay, memory: Memory | None = None
    ) -> Float[Tensor, "batch length hidden"]:
        value = self.value(hidden)
        if memory is not None:
            mixed = self._continued(value, tokens, memory)
        else:
            if tokens.padded:
                value = value.masked_fill(~tokens.mask[..., None], 0)
            mixed = long_convolution(value.transpose(1, 2), self._decayed(), causal=self.causal).transpose(1, 2)
        return self.output(mixed * nn.functional.silu(self.gate(hidden)))

    def _decayed(self) -> Float[Tensor, "channels lags"]:
        lags = torch.arange(self.filters.shape[1], device=self.filters.device, dtype=self.filters.dtype)
        lags = lags if self.causal else (lags - (self.kernel - 1)).abs()
        rates = self.log_decay.exp()[:, None]
        return self.filters * (-rates * lags).exp() * (-torch.expm1(-2 * rates)).sqrt()

    def _continued(self, value: Tensor, tokens: Tokens, memory: Memory) -> Tensor:
        """A piece of a sequence, convolved together with what the filters still reach of the pieces before."""
        length, filters = value.shape[1], self._decayed()
        both, order = after_history(value, tokens, memory, "values", self.kernel - 1)
        if length == 1:
            # For one token a sum over its past is enough; a transform would compute all tokens before it as well.
            mixed = (both.float() * filters.float().flip(1).T).sum(1, keepdim=True).to(value.dtype)
        else:
            mixed = long_convolution(both.transpose(1, 2), filters, causal=True).transpose(1, 2)[:, -length:]
        return mixed if order is None else unpack(mixed, order)
