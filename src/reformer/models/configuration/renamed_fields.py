"""Renamed fields: former names of configuration fields, which are still read and never written."""

import warnings
from collections.abc import Mapping
from typing import Any

from reformer.models.configuration.fields import ReformerFields

RENAMED = {"classifier_random_field": "classifier_crf", "time_steps": "time_bias_steps"}
"""By the former name, the name of today."""


def with_new_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields, or anything else by name, with former names of fields replaced by those of today.

    A `FutureWarning` names both, unless the value is the default and so says nothing.

    Raises:
        ValueError: one field under both names with different values.
    """
    found = {name: value for name, value in fields.items() if name not in RENAMED}
    for old in RENAMED.keys() & fields.keys():
        new, value = RENAMED[old], fields[old]
        if new in found and found[new] != value:
            raise ValueError(f"{old}={value!r} and {new}={found[new]!r} are one field; give {new} alone")
        if value != ReformerFields.default(new):
            warnings.warn(f"the field {old} is now called {new}; write {new}={value!r}", FutureWarning, stacklevel=2)
        found[new] = value
    return found
