"""What a saved model tells `trust_remote_code=True`: where its classes are, in a module beside it that imports them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reformer.auto_classes import AUTO_CLASSES, CONFIGURATION

MODULE = "modeling_reformer_torch"
"""The module, a file of that name in the folder of each saved model."""

# Imported in `try`, else transformers looks for a distribution of the package's name, which is another one.
SOURCE = '''"""The classes of this model, which are in the package reformer-torch; no code is here."""

try:
    from reformer.models import *
except ModuleNotFoundError as error:
    raise ImportError(
        f"this model needs the package reformer-torch, and {error.name} is not installed: pip install reformer-torch"
    ) from error
'''
AUTO_MAP = {name: f"{MODULE}.{found}" for name, found in {"AutoConfig": CONFIGURATION, **AUTO_CLASSES}.items()}
"""By Auto class, where its class is, as transformers reads it from a configuration."""


def write_module(folder: str | os.PathLike[str]) -> None:
    """Write the module into the folder of a model that is being saved."""
    (Path(folder) / f"{MODULE}.py").write_text(SOURCE, encoding="utf-8")


def is_ours(auto_map: Any) -> bool:
    """Whether all that a stored `auto_map` names is in that module; transformers puts the name of a repository before
    it, with two hyphens."""
    if not isinstance(auto_map, Mapping):
        return False
    return all(isinstance(at, str) and at.rpartition("--")[2].startswith(f"{MODULE}.") for at in auto_map.values())
