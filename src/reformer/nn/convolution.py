"""Depth-wise separable convolution over neighbouring tokens, to which padding is invisible."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reformer.nn.memory import Memory
from reformer.nn.replay import Replay
from reformer.nn.tokens import Tokens


class SeparableConvolution(nn.Module):
    """One filter a channel over neighbouring tokens, then a linear map of the channels.

    Tokens beyond either end count as zero, and so does padding, so a padded sequence gives what it gives bare.

    Args:
        hidden_size: how many channels.
        kernel: the filter's odd width; it sees `kernel // 2` tokens to either side, or if `causal` the token
            itself and `kernel - 1` before it.
        causal: see nothing after the token.
    """

    def __init__(self, hidden_size: int, kernel: int, causal: bool = False) -> None:
        super().__init__()
        self.kernel, self.causal = kernel, causal
        self.depthwise = nn.Parameter(torch.empty(kernel, hidden_size))
        self.pointwise = nn.Linear(hidden_size, hidden_size)
        nn.init.normal_(self.depthwise, std=kernel**-0.5)

    def forward(
        self, hidden: Float[Tensor, "batch length hidden"], tokens: Tokens, replay: Replay, memory: Memory | None = None
    ) -> Float[Tensor, "batch length hidden"]:
        if tokens.padded:
            hidden = hidden.masked_fill(~tokens.mask[..., None], 0)
        length = hidden.shape[1]
        if memory is None:
            before = self.kernel - 1 if self.causal else self.kernel // 2
            padded = nn.functional.pad(hidden, (0, 0, before, self.kernel - 1 - before))
        else:
            padded = self._after_the_last_inputs(hidden, memory)
        mixed = padded[:, :length] * self.depthwise[0]
        for offset in range(1, self.kernel):
            mixed = torch.addcmul(mixed, padded[:, offset : offset + length], self.depthwise[offset])
        return self.pointwise(mixed)

    def _after_the_last_inputs(self, hidden: Tensor, memory: Memory) -> Tensor:
        """The input behind the last `kernel - 1` of the pieces before, which are replaced by its own."""
        first = hidden.new_zeros(hidden.shape[0], self.kernel - 1, hidden.shape[2])
        padded = torch.cat((memory.tensors.get("inputs", first), hidden), 1)
        memory.tensors["inputs"] = padded[:, padded.shape[1] - (self.kernel - 1) :].clone()
        return padded
