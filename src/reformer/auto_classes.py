"""Registration with transformers' Auto classes by name alone, so that neither waits for the other's import."""

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MODEL_TYPE = "reformer-torch"
CONFIGURATION = "ReformerTorchConfig"

AUTO_CLASSES = {
    "AutoModel": "ReformerModel",
    "AutoModelForCausalLM": "ReformerForCausalLM",
    "AutoModelForImageClassification": "ReformerForImageClassification",
    "AutoModelForImageTextToText": "ReformerForImageToText",
    "AutoModelForMaskedLM": "ReformerForMaskedLM",
    "AutoModelForQuestionAnswering": "ReformerForQuestionAnswering",
    "AutoModelForSeq2SeqLM": "ReformerForConditionalGeneration",
    "AutoModelForSequenceClassification": "ReformerForSequenceClassification",
    "AutoModelForTimeSeriesPrediction": "ReformerForForecasting",
    "AutoModelForTokenClassification": "ReformerForTokenClassification",
}
"""By the name of an Auto class of transformers, that of the model of this package which it loads."""


def register_auto_classes(package: ModuleType) -> None:
    """Let transformers' Auto classes find the configuration and the models of this package.

    Their tables have names, and a module that has what is named is imported when one is looked up (read in
    transformers 5.23). Ours is the package itself, which imports its models on first use. Where transformers is not
    imported yet, its tables get the names as soon as they are there.

    Args:
        package: this package, which has the classes by their names.
    """
    tables: dict[str, Callable[[Any], None]] = {
        "transformers.models.auto.configuration_auto": lambda module: _add_configuration(module, package),
        "transformers.models.auto.modeling_auto": lambda module: _add_models(module, package),
        "transformers.models.auto.tokenization_auto": _leave_tokenizers_open,
    }
    for name, add in tables.items():
        if (module := sys.modules.get(name)) is not None:
            add(module)
    sys.meta_path.insert(0, _AfterImport(tables))


class _AfterImport:
    """Finder that finds nothing itself, and calls a function on some modules as soon as they are imported."""

    def __init__(self, calls: dict[str, Callable[[Any], None]]) -> None:
        self._calls = calls

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in self._calls:
            return None
        others = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        spec = next((spec for finder in others if (spec := finder.find_spec(name, path, target)) is not None), None)
        if spec is not None and spec.loader is not None:
            run, call = spec.loader.exec_module, self._calls[name]

            def run_and_call(module: ModuleType) -> None:
                run(module)
                # A loader may have several modules.
                if module.__name__ == name:
                    call(module)

            spec.loader.exec_module = run_and_call
        return spec


def _add_configuration(module: Any, package: ModuleType) -> None:
    module.CONFIG_MAPPING_NAMES[MODEL_TYPE] = CONFIGURATION
    module.CONFIG_MAPPING._modules[_module_name()] = package


def _add_models(module: Any, package: ModuleType) -> None:
    for auto_class, model in AUTO_CLASSES.items():
        table = getattr(module, auto_class)._model_mapping
        if auto_class == "AutoModelForSeq2SeqLM":
            # Others take every type that is named in its public table for an encoder-decoder, as lm-evaluation-harness
            # does: this table alone is to have ours.
            table._model_mapping = dict(table._model_mapping)
        table._model_mapping[MODEL_TYPE] = model
        table._reverse_config_mapping[CONFIGURATION] = MODEL_TYPE
        table._modules[_module_name()] = package


def _leave_tokenizers_open(module: Any) -> None:
    # A model here has any tokenizer; its file says which class, and without one it is the general one.
    module.TOKENIZER_MAPPING_NAMES.pop(MODEL_TYPE, None)


def _module_name() -> str:
    """The key that transformers makes of the model's type."""
    return MODEL_TYPE.replace("-", "_")
