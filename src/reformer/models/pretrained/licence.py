"""Licence of a pretrained model, as its card or its configuration tells."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers.utils.hub import cached_file

from reformer.errors import ReformerWarning
from reformer.models.pretrained.weights import PretrainedError

_FORBIDDING = "nc|nd|non-?commercial|no-?derivatives|research|proprietary|all-rights-reserved"
RESTRICTED = re.compile(rf"(^|[-_ ])({_FORBIDDING})([-_ .]|$)")
"""Names of licences that forbid some uses, such as cc-by-nc-4.0."""

_FRONT = re.compile(r"\A---\s*\n(.*?)\n---", re.DOTALL)
_LICENCE = re.compile(r"^(license|license_name): *[\"']?([^\"'\n#]+)", re.MULTILINE)
_MOST = 1 << 20
"""Characters of a card that are read."""


def check_licence(place: str, config: Mapping[str, Any], accepted: bool) -> tuple[str, ...]:
    """Refuse a model whose licence forbids some uses, unless it was accepted.

    Args:
        place: a folder, or a name on the hub, whose card is read. That the card cannot be reached is a warning, as its
            licence may forbid some uses.
        config: the fields of its configuration.

    Returns:
        The licences that are named.

    Raises:
        PretrainedError: such a licence, and it was not accepted.
    """
    licences = licences_of(place, config)
    found = next((name for name in licences if RESTRICTED.search(name.lower())), None)
    if found is not None and not accepted:
        raise PretrainedError(
            f"{place}: its licence, {found}, forbids some uses; where it allows yours, say so by "
            "finetune.accept_licence = true in a recipe, or --accept-licence"
        )
    return licences


def licences_of(place: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The licences that a model's configuration and the head of its card name; none where nothing tells."""
    found = [config["license"]] if isinstance(config.get("license"), str) else []
    card = _card(place)
    if card is not None:
        with open(card, encoding="utf-8", errors="replace") as file:
            front = _FRONT.match(file.read(_MOST))
        found += [name.strip() for _, name in _LICENCE.findall(front[1] if front else "")]
    elif not found and not Path(place).is_dir():
        told = f"{place}: its card cannot be reached or there is none, so its licence is not known"
        warnings.warn(told, ReformerWarning, stacklevel=4)
    return tuple(found)


def _card(place: str) -> str | None:
    try:
        return cached_file(
            place,
            "README.md",
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
    # A hub has errors of many kinds, all of which mean that no card tells.
    except Exception:
        return None
