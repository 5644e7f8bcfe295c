"""Base class of the architectures whose weights become ours."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor
from transformers import PreTrainedConfig

from reformer.models.pretrained.weights import PretrainedError, Weights
from reformer.nn.rotary_scaling import OPTIONAL, REQUIRED

ACTIVATIONS = {
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "silu": "silu",
    "swish": "silu",
}
"""Our names of transformers' activations."""

KINDS = {"full_attention": "full", "sliding_attention": "local"}
"""Our kinds of transformers' types of layers."""

State = dict[str, Tensor]


class Architecture:
    """Architecture of transformers: its configuration as our fields, its weights under our names.

    To add one, write its file and name it in `ARCHITECTURES`.
    """

    prefix: ClassVar[str]
    """What the names of the body's weights begin with in a model with a head."""
    global_tokens: ClassVar[tuple[int, ...]] = ()
    """Places of the special tokens round a text, which every token was trained to see."""
    expendable: ClassVar[tuple[str, ...]] = ("pooler.", "seq_relationship.")
    """Parts of the names of weights in a file that their own model with a head does not read."""

    def exact_length(self, theirs: Any) -> int | None:
        """The greatest length of a text for which both are the same function; None for any."""
        return None

    def multiple(self, theirs: Any) -> int:
        """The number of tokens to a multiple of which theirs pads longer texts."""
        return 1

    def fields(self, theirs: PreTrainedConfig) -> dict[str, Any]:
        """Fields of our configuration.

        Raises:
            PretrainedError: an option that ours has not.
        """
        raise NotImplementedError

    def body(self, weights: Weights, theirs: PreTrainedConfig, layers: int) -> State:
        """The weights of our backbone with the lowest `layers` layers; those above are dropped."""
        raise NotImplementedError

    def vocabulary_head(self, weights: Weights, theirs: PreTrainedConfig) -> State:
        """The weights of our language model beside the backbone."""
        raise NotImplementedError


def require(theirs: PreTrainedConfig, expected: Mapping[str, Any]) -> None:
    """Refuse a configuration whose options differ from these; one that lacks an option has its default.

    Raises:
        PretrainedError: one differs.
    """
    for name, value in expected.items():
        if (given := getattr(theirs, name, value)) != value:
            raise PretrainedError(
                f"a model of type {theirs.model_type!r} with {name}={given!r}: our model has no such part; expected "
                f"{value!r}"
            )


def rotary(theirs: PreTrainedConfig, rope: Mapping[str, Any]) -> dict[str, Any]:
    """Our fields of rotary positions but for their base, from transformers' parameters.

    Raises:
        PretrainedError: they depend on the length of a text, or are of a type that ours has not.
    """
    kind = rope["rope_type"]
    fields: dict[str, Any] = {"partial_rotary_factor": rope.get("partial_rotary_factor", 1.0)}
    if kind == "default":
        return fields
    if kind not in REQUIRED:
        raise PretrainedError(
            f"a model of type {theirs.model_type!r} with rope_type={kind!r}: expected one of default, "
            f"{', '.join(REQUIRED)}; positions whose scale depends on the length of the text would change what was read"
        )
    names = (*REQUIRED[kind], *OPTIONAL[kind])
    scaling = {name: rope[name] for name in names if rope.get(name) is not None}
    if kind == "yarn":
        original = rope["original_max_position_embeddings"]
        scaling.setdefault("factor", theirs.max_position_embeddings / original)
        if rope.get("mscale") and rope.get("mscale_all_dim") and "attention_factor" not in scaling:
            over, under = (
                1 + 0.1 * rope[name] * math.log(max(1.0, scaling["factor"])) for name in ("mscale", "mscale_all_dim")
            )
            scaling["attention_factor"] = over / under
    return fields | {"rotary_scaling": {"rope_type": kind, **scaling}}


def activation(name: str) -> str:
    """Our name of an activation of transformers.

    Raises:
        PretrainedError: ours has no such one.
    """
    if name not in ACTIVATIONS:
        raise PretrainedError(f"the activation {name!r}: expected one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


PLAIN: dict[str, Any] = {
    "residual_streams": 1,
    "reversible": False,
    "recompute": "auto",
    "shared_query_key": False,
    "hashed_scores": "dot",
}
"""Fields of every plain Transformer: one stream, and queries that are not keys, whose products are the scores."""
