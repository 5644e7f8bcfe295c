"""Transfer of a trained backbone to the head of another task, or to the same head over other labels."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from reformer.finetuning.errors import FinetuningError
from reformer.models import ReformerConfig
from reformer.nn.positions import continued_table

# Hash rotations are drawn and not learned; where rounds or buckets have changed they are drawn anew.
DRAWN = "rotation_"

POSITIONS = "positions.table.weight"
"""End of the name of a table of learned positions, which may have become longer."""


@dataclass(frozen=True)
class Transfer:
    """A model made from a trained one, and the weights that are not from there."""

    model: PreTrainedModel
    new: tuple[str, ...]
    """The weights that start as a fresh model's do, the head's alone."""
    dropped: tuple[str, ...]
    """The trained weights that have no place in the model, the former head's alone."""
    drawn: tuple[str, ...]
    """The hash rotations that were drawn anew, because there are more or fewer of them."""


def transfer(model: PreTrainedModel, head: type[PreTrainedModel], config: ReformerConfig) -> Transfer:
    """A new model of class `head` with the trained model's weights wherever they belong.

    The backbone is taken whole; learned positions, if there are more now, are continued by their own rows, see
    `reformer.nn.positions.continued_table`. The head's weights are taken where the trained model has the same head, and
    what it tells apart is the same: a classifier over other labels, or the same ones in another order, starts fresh.
    What it reads by, as a map of pixels, is taken from the same head whatever that tells apart.

    Args:
        model: the trained model; it is left as it is.
        head: the class of the new one.
        config: of the new model, as `changed_config` makes it. Fresh weights come from PyTorch's global generator.

    Raises:
        FinetuningError: a weight of the backbone is missing in the trained model, unknown to the new one, or of
            another shape; the message names them.
    """
    new = head(config)
    _load_backbone(model.base_model, new.base_model)
    theirs, ours = _head_weights(model), _head_weights(new)
    kept = {}
    if type(model) is head:
        same = _same_outputs(model.config, config)
        reads = getattr(head, "reads", ())
        kept = {
            name: weight
            for name, weight in theirs.items()
            if name in ours and weight.shape == ours[name].shape and (same or name.partition(".")[0] in reads)
        }
    for name, weight in kept.items():
        ours[name].copy_(weight)
    drawn = _redrawn(model.base_model, new.base_model)
    # What is tied to the backbone has come with it.
    fresh = ours.keys() - kept - set(getattr(new, "_tied_weights_keys", None) or ())
    return Transfer(new, tuple(sorted(fresh)), tuple(sorted(theirs.keys() - kept)), tuple(sorted(drawn)))


def _load_backbone(trained: nn.Module, fresh: nn.Module) -> None:
    if type(trained) is not type(fresh):
        raise FinetuningError(
            f"the trained model is a {type(trained).__name__}, and the task needs a {type(fresh).__name__}; start "
            "from a model of that kind"
        )
    theirs, ours = trained.state_dict(), fresh.state_dict()
    for name in ours.keys() & theirs.keys():
        if name.endswith(POSITIONS):
            theirs[name] = continued_table(theirs[name], len(ours[name]))
    redrawn = _redrawn(trained, fresh)
    problems = {
        "missing in the trained model": ours.keys() - theirs.keys(),
        "unknown to the new one": theirs.keys() - ours.keys(),
        "of another shape": {
            name for name in ours.keys() & theirs.keys() - redrawn if ours[name].shape != theirs[name].shape
        },
    }
    found = [f"{why}: {', '.join(sorted(names - redrawn))}" for why, names in problems.items() if names - redrawn]
    if found:
        raise FinetuningError(f"the trained weights do not fit; {'; '.join(found)}")
    fresh.load_state_dict({name: theirs[name] for name in ours.keys() - redrawn}, strict=False)


def _redrawn(trained: nn.Module, fresh: nn.Module) -> set[str]:
    """Hash rotations that only one of both models has, or that differ in shape."""
    theirs, ours = (
        {name: value.shape for name, value in each.named_buffers() if name.rpartition(".")[2].startswith(DRAWN)}
        for each in (trained, fresh)
    )
    return {name for name in {*theirs, *ours} if theirs.get(name) != ours.get(name)}


def _head_weights(model: PreTrainedModel) -> dict[str, Tensor]:
    if model.base_model is model:
        return {}
    body = f"{model.base_model_prefix}."
    return {name: weight for name, weight in model.state_dict().items() if not name.startswith(body)}


def _same_outputs(trained: Any, config: Any) -> bool:
    return trained.num_labels == config.num_labels and dict(trained.id2label) == dict(config.id2label)
