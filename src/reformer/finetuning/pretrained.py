"""Loading of a trained model from a run folder, a folder that transformers has written, or the hub."""

from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel

import reformer.models as models
from reformer.finetuning.adapter import ADAPTER, ADAPTER_CONFIG, base_of, load_adapter
from reformer.finetuning.errors import FinetuningError
from reformer.models import ReformerConfig
from reformer.models.pretrained import ARCHITECTURES, Converted, PretrainedError, convert
from reformer.models.progress_bars import no_progress_bars

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
MOST_ADAPTERS = 16
"""Adapters upon each other, at most."""


def load_pretrained(place: str, *, accept_licence: bool = False) -> PreTrainedModel:
    """The model that was saved there, with the head and the configuration it was trained with, in evaluation mode.

    A model of another architecture is converted, see `reformer.models.pretrained.convert`. Where an adapter was saved,
    the model that it belongs to is read first, and the adapter merged into it.

    Args:
        place: a run folder of `reformer train`, any folder that `save_pretrained` has written, or a name on the
            Hugging Face hub. A folder that exists is taken first.
        accept_licence: of a model to convert, take one whose licence forbids some uses.

    Raises:
        FinetuningError: there is no such model, it is none of ours, its training has not finished, or weights are
            missing in it or unknown, which are named; of an adapter, its model is not there, not the same, or itself;
            `accept_licence` of a model that is none to convert.
    """
    return _load(place, (), accept_licence)


def _load(place: str, above: tuple[Path, ...], accept_licence: bool) -> PreTrainedModel:
    """See `load_pretrained`; `above` are the folders of the adapters that this model is to be the base of."""
    folder = Path(place)
    if not folder.is_dir():
        if folder.exists():
            raise FinetuningError(f"{place}: a model is a folder, and this is a file; give {folder.parent}")
        # A name on the hub has at most one slash, so where the part before it is a folder here, a path was meant.
        local = folder.parent != Path(".") and folder.parent.is_dir()
        if local or place.startswith((".", "~")) or folder.is_absolute():
            raise FinetuningError(f"{place}: there is no such folder; give one that holds a trained model")
    elif not any((folder / name).is_file() for name in (*WEIGHTS, ADAPTER)):
        raise FinetuningError(
            f"{place}: there is no {WEIGHTS[0]} in this folder; give that of a run that has finished, or of a model "
            "that save_pretrained has written"
        )
    head = _head(place)
    if head is None:
        return converted(place, accept_licence=accept_licence).model
    # The model below an adapter comes with its licence accepted, by whoever trained the adapter.
    if accept_licence and not above:
        raise FinetuningError(
            f"{place}: accept_licence is for models that have to be converted, and this one is not; leave it out"
        )
    if (folder / ADAPTER).is_file() and (folder / ADAPTER_CONFIG).is_file():
        if folder.resolve() in above or len(above) == MOST_ADAPTERS:
            chain = ", of ".join(map(str, above))
            raise FinetuningError(
                f"{place}: this is an adapter of itself, or of too many: {chain}; give one of a model"
            )
        return load_adapter(folder, _load(base_of(folder), (*above, folder.resolve()), True), head)
    try:
        with no_progress_bars():
            return head.from_pretrained(place).eval()
    # Truncated weights, weights of another model, a hub that cannot be reached: none is the program's fault.
    except Exception as error:
        raise FinetuningError(f"{place}: this model cannot be loaded: {error}") from error


def converted(place: str, **changes: Any) -> Converted:
    """As `reformer.models.pretrained.convert`, with a `FinetuningError`."""
    try:
        return convert(place, **changes)
    except (PretrainedError, ValueError) as error:
        raise FinetuningError(str(error)) from error


def _head(place: str) -> type[PreTrainedModel] | None:
    """The class that the configuration at this place names; None for another architecture that can be converted."""
    try:
        found, _ = PreTrainedConfig.get_config_dict(place)
        if not isinstance(found, dict):
            raise ValueError(f"its configuration is a {type(found).__name__} and no object of fields")
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FinetuningError(
            f"{place}: there is no model to start from ({reason}); give a run folder, a folder that save_pretrained "
            "has written, or a name on the Hugging Face hub"
        ) from error
    kind = found.get("model_type")
    if kind in ARCHITECTURES:
        return None
    if kind != ReformerConfig.model_type:
        raise FinetuningError(
            f"{place}: this is a model of type {kind!r}, expected {ReformerConfig.model_type!r} or one that can be "
            f"converted: {', '.join(ARCHITECTURES)}; another model's weights have no place in ours"
        )
    names = found.get("architectures") or []
    known = isinstance(names, list) and len(names) == 1 and isinstance(names[0], str)
    heads = {name: getattr(models, name) for name in models.__all__ if name != "ReformerPreTrainedModel"}
    if not known or not isinstance(heads.get(names[0]), type) or not issubclass(heads[names[0]], PreTrainedModel):
        raise FinetuningError(
            f"{place}: its config.json names the architecture {names}, expected one of "
            f"{', '.join(name for name in heads if name != 'ReformerConfig')}; save the model with save_pretrained"
        )
    return heads[names[0]]
