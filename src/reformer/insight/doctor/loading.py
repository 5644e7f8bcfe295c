"""Loading of a model to examine: a run folder, a saved model, a name on the hub."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModel, PreTrainedModel

from reformer.errors import ReformerError
from reformer.insight.doctor.subject import Subject, subject_of
from reformer.models.progress_bars import no_progress_bars
from reformer.runs.folder import RECIPE
from reformer.runs.loading import load_run


def load_subject(place: str) -> Subject:
    """The model at a place, in float32, with inputs of its kind.

    Args:
        place: the folder of a run; that of a saved model, of this package or another architecture of transformers; or a
            model's name on the hub. Only safetensors are read, and no code of others.

    Raises:
        ReformerError: there is no such model, or it reads neither tokens nor series.
    """
    if (Path(place) / RECIPE).is_file():
        return subject_of(load_run(place).model)
    if Path(place).exists() and not (Path(place) / "config.json").is_file():
        raise ReformerError(
            f"{place}: this is no model's folder: it has no config.json; give the folder of a run or model"
        )
    try:
        with no_progress_bars():
            config: Any = AutoConfig.from_pretrained(place, trust_remote_code=False)
            model = _class_of(config).from_pretrained(
                place, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
            )
    # Each means that there is no such model to be had, or that it is damaged.
    except (OSError, ValueError, json.JSONDecodeError) as error:
        raise ReformerError(f"{place}: this model cannot be loaded: {error}") from error
    return subject_of(model)


def _class_of(config: Any) -> type[PreTrainedModel] | type[AutoModel]:
    """The class that a configuration names, of transformers or of this package; else its architecture's bare model."""
    import reformer.models

    for name in config.architectures or ():
        for module in (reformer.models, transformers):
            found = getattr(module, name, None)
            if isinstance(found, type) and issubclass(found, PreTrainedModel):
                return found
    return AutoModel
