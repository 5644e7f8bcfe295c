"""Linear map of circulant blocks, with few weights, computed by fast Fourier transforms."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class CirculantLinear(nn.Module):
    """`y_o = sum_i w_(o,i) * x_i + b_o`, where `*` is the circular convolution of vectors of `block` elements.

    Each `block x block` part of the matrix is the `block` shifts of one vector, so there are `block` times fewer
    weights than in a dense matrix (`docs/math.md`, equation 35). Source: Ding et al. 2017, CirCNN.

    Args:
        in_features, out_features: the widths; multiples of `block`.
        block: how many elements are convolved with each other.
    """

    def __init__(self, in_features: int, out_features: int, block: int) -> None:
        super().__init__()
        if in_features % block or out_features % block:
            raise ValueError(
                f"{in_features} to {out_features} in circulant blocks of {block}: expected multiples of it"
            )
        self.block = block
        # Under the name `weight`, peft and others would take the first side for the width of the output.
        self.blocks = nn.Parameter(torch.empty(out_features // block, in_features // block, block))
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.reset_learned(in_features**-0.5)

    def reset_learned(self, spread: float) -> None:
        """Draw the weights as for a dense matrix, since as many of them add up in each output."""
        nn.init.normal_(self.blocks, std=spread)
        nn.init.zeros_(self.bias)

    def forward(self, inputs: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        # PyTorch has no Fourier transform of bfloat16.
        wide = inputs if inputs.dtype == torch.float64 else inputs.float()
        waves = torch.fft.rfft(wide.reshape(-1, self.blocks.shape[1], self.block))
        filters = torch.fft.rfft(self.blocks.to(wide.dtype))
        # A product of matrices for each frequency.
        mixed = torch.bmm(waves.permute(2, 0, 1), filters.permute(2, 1, 0))
        outputs = torch.fft.irfft(mixed.permute(1, 2, 0), self.block).flatten(1) + self.bias
        return outputs.to(inputs.dtype).view(*inputs.shape[:-1], -1)
