"""Dropout as a module, drawn from the generator of the calling thread where it has one."""

from torch import Tensor, nn

from reformer.ops.draws import dropout


class Dropout(nn.Dropout):
    """PyTorch's dropout, see `reformer.ops.draws`."""

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p, self.training)
