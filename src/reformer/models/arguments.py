"""Arguments of forward passes that callers of transformers know, and these models have no use for."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_REFUSED = {
    "output_attentions": "the weights of attention are never held",
    "head_mask": 'heads are left out by "none" among the kinds of a layer\'s heads',
    "token_type_ids": "there is one type of tokens, 0",
    "is_causal": "config.is_decoder says whether later tokens are seen",
    "cache_position": "a cache knows how far it has come",
}


def check_unused(name: str, given: Mapping[str, Any], *, causal: bool | None = None) -> None:
    """Refuse arguments that would have no effect.

    None, False for what is known here, token types that are all 0 and a head mask of ones ask for nothing, and are
    taken.

    Args:
        name: of what was called.
        given: the arguments that it does not use.
        causal: what `is_causal` may be.

    Raises:
        TypeError: an argument that nobody knows.
        ValueError: one of transformers' that these models do not have.
    """
    for argument, value in given.items():
        if value is None:
            continue
        if argument not in _REFUSED:
            raise TypeError(f"{name} got an unexpected argument {argument!r}")
        if value is False and argument != "is_causal":
            continue
        asks_for_nothing = {
            "token_type_ids": lambda value: isinstance(value, Tensor) and not bool(value.any()),
            "head_mask": lambda value: isinstance(value, Tensor) and bool(torch.all(value == 1)),
            "is_causal": lambda value: causal is not None and bool(value) == causal,
        }.get(argument, lambda value: False)
        if not asks_for_nothing(value):
            shown = f" of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"={value!r}"
            raise ValueError(f"{argument}{shown}: {_REFUSED[argument]}; leave it out")
