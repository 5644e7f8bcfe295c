"""Base class of all models: what they share of transformers' own, and how their weights begin."""

import re
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeGuard

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init

from reformer.models.configuration import ReformerConfig
from reformer.models.strict_loading import StrictLoading
from reformer.nn import AxialPositions, CirculantLinear, CovariateFeatures, Layer, NgramEmbedding, SubLayer
from reformer.nn.layer_drop import LayerDrop


class ReformerPreTrainedModel(StrictLoading, PreTrainedModel):
    """Base class of the models: configuration, saving, strict loading and initialisation."""

    config: ReformerConfig
    config_class = ReformerConfig
    base_model_prefix = "reformer"
    main_input_name = "input_ids"
    accepts_loss_kwargs = True
    _supports_sdpa = True
    _no_split_modules: set[str] | list[str] | None = ["SubLayer"]  # noqa: RUF012
    projections: tuple[str, ...] = ("embedding_projection", "lm_projection")
    """Names of the linear maps to and from the width of embeddings."""
    is_backbone: ClassVar[bool] = False
    """Whether it is the embeddings and layers themselves, and no head over them."""
    hidden_dropout: float
    """The dropout of a backbone in training."""

    if TYPE_CHECKING:
        # transformers says of these either nothing or what type checkers take for another signature.
        def to(self, *args: Any, **kwargs: Any) -> Self: ...  # pyright: ignore[reportIncompatibleVariableOverride]
        def cuda(self, *args: Any, **kwargs: Any) -> Self: ...  # pyright: ignore[reportIncompatibleVariableOverride]
        def half(self, *args: Any) -> Self: ...
        def train(self, mode: bool = True) -> Self: ...
        def eval(self) -> Self: ...

    def get_expanded_tied_weights_keys(self, all_submodels: bool = False) -> dict[str, str]:
        """By the name of each tied parameter, the name of the one that it is; each model lists its own in
        `_tied_weights_keys`."""
        return super().get_expanded_tied_weights_keys(True) if all_submodels else dict(self._tied_weights_keys or {})

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = "AutoModel") -> None:
        """As transformers' for classes of other packages. For one of this package nothing is to be done: each saved
        model says where it is, and its source is not copied beside it."""
        if not cls.__module__.startswith("reformer."):
            super().register_for_auto_class(auto_class)

    def init_parallel_plans(self) -> None:
        """Plan the shards of FSDP2: each sub-layer has its own, or where they share weights the whole stack."""
        super().init_parallel_plans()
        if self.config.num_distinct_layers is None:
            names = [name for name, module in self.named_modules() if isinstance(module, SubLayer)]
        else:
            backbones = (name for name, module in self.named_modules() if _is_backbone(module))
            names = [f"{name}.encoder".removeprefix(".") for name in backbones]
        plan = (re.sub(r"\.\d+$", ".*", name) for name in names)
        self._fsdp_plan = dict.fromkeys(plan, "free_full_weight")

    def set_hidden_dropout(self, probability: float) -> None:
        """Set the dropout of training, in place of `hidden_dropout_prob`. Between a forward pass and its backward pass,
        which draws the same masks again, it must not change."""
        for module in self.modules():
            if _is_backbone(module):
                module.hidden_dropout = probability
            elif isinstance(module, SubLayer):
                module.dropout = probability

    def draw_dropped_layers_from(self, generator: torch.Generator | None) -> None:
        """Draw which layers a training pass leaves out (`layer_drop`) from this generator; None: from the global one.
        Several processes that average their gradients must each give one of the same seed."""
        for module in self.modules():
            if isinstance(drop := getattr(module, "drop", None), LayerDrop):
                drop.generator = generator

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        spread = self.config.initializer_range
        super()._init_weights(module)
        if isinstance(module, AxialPositions):
            for weight in module.weights:
                init.normal_(weight, std=spread)
        elif isinstance(module, NgramEmbedding):
            init.zeros_(module.table)
        elif isinstance(module, CirculantLinear):
            init.normal_(module.blocks, std=spread)
            init.zeros_(module.bias)
        elif isinstance(module, CovariateFeatures):
            module.reset()
        elif isinstance(module, Layer):
            module.reset_learned()
        elif module in (getattr(self, name, None) for name in self.projections):
            # No norm stands between embeddings and streams, so this variance keeps the scale of the embeddings.
            init.normal_(module.weight, std=module.in_features**-0.5)  # pyright: ignore


def _is_backbone(module: nn.Module) -> TypeGuard[ReformerPreTrainedModel]:
    return isinstance(module, ReformerPreTrainedModel) and module.is_backbone
