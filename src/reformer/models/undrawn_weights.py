"""Creation of a model whose weights are read afterwards: random numbers are drawn for none of them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

DRAWS = frozenset(
    {Tensor.normal_, Tensor.uniform_, init.normal_, init.uniform_, init.kaiming_uniform_, init.xavier_uniform_}
)


class UndrawnWeights(TorchFunctionMode):
    """Leaves tensors without values (those of the device `meta`) as they are where random numbers would be drawn.

    Torch would draw none either, but imports a library of symbols to find that out, which takes half a second.

    >>> import torch
    >>> with UndrawnWeights(), torch.device("meta"):
    ...     torch.nn.Embedding(3, 2).weight.device
    device(type='meta')
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        tensor = args[0] if args else given.get("tensor")
        if function in DRAWS and isinstance(tensor, Tensor) and tensor.is_meta:
            return tensor
        return function(*args, **given)
