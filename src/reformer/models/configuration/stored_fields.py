"""Fields of a stored configuration: ours are kept, those that reach for other loaders are left out or refused."""

import warnings
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch

from reformer.models.configuration.fields import ReformerFields
from reformer.models.configuration.remote_code import is_ours
from reformer.models.configuration.renamed_fields import RENAMED

MOST_LABELS = 1 << 17
"""Labels of a classifier, at most: transformers makes a name for each before any other field is looked at."""

DTYPES = ("float32", "float64", "bfloat16", "float16")
"""Dtypes of weights. transformers takes any name in `torch` for one."""

_DERIVED = frozenset({"_name_or_path", "model_type", "num_hidden_layers", "num_labels", "torch_dtype"})
# What every configuration of transformers writes.
_SILENT = frozenset({"output_attentions"})
_LOADERS = (
    *("auto_map", "custom_pipelines", "distributed_config", "experts_implementation", "fusion_config"),
    *("kernel_config", "per_layer_config", "quantization_config", "transformers_weights"),
)
_ATTENTIONS = (None, "eager", "sdpa")


def known_fields(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a stored configuration that a Reformer has. A warning names the others, which are left out.

    Among those are fields by which transformers would load code or weights from elsewhere: `auto_map`,
    `quantization_config`, `attn_implementation` with the name of a kernel, and whatever later versions add.

    Raises:
        ValueError: no mapping.
    """
    if not isinstance(stored, Mapping):
        raise ValueError(f"a configuration is an object of fields, and this is a {type(stored).__name__}")
    known = {field.name for field in fields(ReformerFields)} | _DERIVED | RENAMED.keys()
    silent = _SILENT | ({"auto_map"} if is_ours(stored.get("auto_map")) else set())
    unknown = [name for name in stored if name not in known | silent and stored[name] is not None]
    if unknown:
        named = ", ".join(name if len(name) <= 40 else f"{name[:40]}..." for name in unknown[:10])
        warnings.warn(f"the configuration has fields of no Reformer, which are left out: {named}", stacklevel=3)
    return {name: value for name, value in stored.items() if name in known}


def check_given(given: ReformerFields, further: Mapping[str, Any]) -> None:
    """Check what transformers acts on before the other fields are looked at.

    Args:
        given: the configuration, not filled in yet.
        further: what was given beside its fields.

    Raises:
        ValueError: a loader that is not ours, labels that are too many or not numbered from 0, or no dtype of weights.
    """
    for name in _LOADERS:
        if further.get(name) is not None:
            raise ValueError(f"{name}: a Reformer has its own layers and weights alone; leave it out")
    attention = further.get("attn_implementation")
    if attention not in _ATTENTIONS:
        raise ValueError(f"attn_implementation={attention!r}: a Reformer has its own attention; leave it out")
    _check_labels(given.id2label, further.get("num_labels", 0))
    for dtype in (given.dtype, further.get("torch_dtype")):
        name = str(dtype).removeprefix("torch.") if isinstance(dtype, torch.dtype) else dtype
        if name is not None and name not in DTYPES:
            raise ValueError(f"dtype={dtype!r}: expected one of {', '.join(DTYPES)}")


def _check_labels(names: Any, count: Any) -> None:
    if not isinstance(count, int) or not 0 <= count <= MOST_LABELS:
        raise ValueError(f"num_labels={count!r}: expected a number up to {MOST_LABELS:,}")
    if names is None:
        return
    if not isinstance(names, Mapping) or len(names) > MOST_LABELS:
        raise ValueError(f"id2label: expected names for up to {MOST_LABELS:,} labels, by their numbers")
    if {str(number) for number in names} != {str(number) for number in range(len(names))}:
        raise ValueError(f"id2label: expected a name for each number from 0 to {len(names) - 1}")
    if not all(isinstance(name, str) for name in names.values()):
        raise ValueError("id2label: expected a text as the name of each label")
