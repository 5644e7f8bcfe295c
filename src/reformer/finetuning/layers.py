"""The layers of a trained model, each as its sub-layers."""

from typing import Any, cast

from transformers import PreTrainedModel

from reformer.finetuning.errors import FinetuningError
from reformer.models import ReformerConfig, ReformerModel
from reformer.nn import ResidualSequence, ReversibleSequence, SubLayer


def backbone(model: PreTrainedModel) -> ReformerModel:
    """The one stack of a model.

    Raises:
        FinetuningError: the model has two stacks, an encoder and a decoder.
    """
    found = model.base_model
    if not isinstance(found, ReformerModel):
        raise FinetuningError(
            f"{type(model).__name__} has no single stack of layers, so none of them has a number; "
            "only a model with one stack can be changed layer by layer"
        )
    return found


def stacks(model: PreTrainedModel) -> dict[str, ReformerModel]:
    """Every stack by its name: of an encoder-decoder `encoder` and `decoder`; the only one of another model by none."""
    found = model.base_model
    if isinstance(found, ReformerModel):
        return {"": found}
    return {name: stack for name, stack in found.named_children() if isinstance(stack, ReformerModel)}


def layers(model: PreTrainedModel) -> list[list[SubLayer]]:
    """The sub-layers of each layer, in the order they run; see `backbone` for what it raises."""
    return layers_of(backbone(model))


def layers_of(stack: ReformerModel) -> list[list[SubLayer]]:
    """The sub-layers of each layer of a stack, in the order they run."""
    # A stack that shortens the sequence has three parts, in the order they run.
    parts = (part for part in stack.encoder.modules() if isinstance(part, (ReversibleSequence, ResidualSequence)))
    sublayers = [cast(SubLayer, sublayer) for part in parts for sublayer in part.sublayers]
    each = len(sublayers) // stack.config.num_hidden_layers
    return [sublayers[begin : begin + each] for begin in range(0, len(sublayers), each)]


def rebuilt(model: PreTrainedModel, **fields: Any) -> PreTrainedModel:
    """A freshly initialised model of the same class with these fields of the configuration changed, in the trained
    model's mode and number format, on its device."""
    config = changed(model.config, **fields)
    fresh = type(model)(config).train(model.training)
    return fresh.to(device=model.device, dtype=model.dtype)  # pyright: ignore[reportCallIssue]


def changed(config: Any, **fields: Any) -> ReformerConfig:
    """A copy of the configuration with these fields, whatever they mean for the weights.

    Raises:
        FinetuningError: they do not fit together.
    """
    kept = {name: value for name, value in config.to_dict().items() if name != "num_hidden_layers"}
    try:
        return ReformerConfig.from_dict(kept | fields)
    except ValueError as error:
        raise FinetuningError(str(error)) from None
