"""Transformers over very long sequences on one ordinary machine."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from reformer.auto_classes import register_auto_classes

__version__ = "0.1.0"

# Imported on first use, because torch and transformers take seconds and a command's --help needs neither.
_HOMES = {
    "hash_slots": "reformer.ops",
    "hash_query_slots": "reformer.ops",
    "position_slots": "reformer.ops",
    "random_rotations": "reformer.ops",
    "window_attention": "reformer.ops",
    "Attention": "reformer.nn",
    "ReversibleSequence": "reformer.nn",
    "ReformerConfig": "reformer.models",
    "ReformerTorchConfig": "reformer.models",
    "ReformerPreTrainedModel": "reformer.models",
    "ReformerModel": "reformer.models",
    "ReformerEncoderDecoder": "reformer.models",
    "ReformerForCausalLM": "reformer.models",
    "ReformerForConditionalGeneration": "reformer.models",
    "ReformerForForecasting": "reformer.models",
    "ReformerForImageClassification": "reformer.models",
    "ReformerForImageToText": "reformer.models",
    "ReformerForMaskedLM": "reformer.models",
    "ReformerForQuestionAnswering": "reformer.models",
    "ReformerForSequenceClassification": "reformer.models",
    "ReformerForTokenClassification": "reformer.models",
    "ReformerError": "reformer.errors",
    "Recipe": "reformer.recipe",
    "read_recipe": "reformer.runs.recipe_file",
    "load_run": "reformer.runs.loading",
    "train": "reformer.training.train",
}

if TYPE_CHECKING:
    from reformer.errors import *
    from reformer.models import *
    from reformer.nn import *
    from reformer.ops import *
    from reformer.recipe import Recipe as Recipe
    from reformer.runs.loading import load_run as load_run
    from reformer.runs.recipe_file import read_recipe as read_recipe
    from reformer.training.train import train as train
else:

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'reformer' has no attribute {name!r}; it has {', '.join(_HOMES)}")
        return getattr(import_module(_HOMES[name]), name)


__all__ = ["__version__", *_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __dir__() -> list[str]:
    return __all__


register_auto_classes(sys.modules[__name__])
