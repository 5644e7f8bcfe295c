"""The one demand that kernels make on strides: the components of a vector lie side by side."""

from jaxtyping import Shaped
from torch import Tensor


def contiguous_rows(tensor: Shaped[Tensor, "*leading dim"]) -> Shaped[Tensor, "*leading dim"]:
    """The tensor itself if its last dimension is contiguous, else a contiguous copy; kernels take any other stride.

    Example:
        >>> x = torch.zeros(3, 4)
        >>> contiguous_rows(x) is x, contiguous_rows(x.T).stride()
        (True, (3, 1))
    """
    return tensor if tensor.stride(-1) == 1 or tensor.shape[-1] == 1 else tensor.contiguous()
