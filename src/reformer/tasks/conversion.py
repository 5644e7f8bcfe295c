"""Conversion of a model of another architecture to a folder that runs start from."""

import os
from dataclasses import replace
from pathlib import Path

from reformer.data import PRETRAINED
from reformer.errors import ReformerError
from reformer.files import make_folders, new_folder, remove_leftovers
from reformer.finetuning.pretrained import converted
from reformer.models.pretrained import Converted
from reformer.models.progress_bars import no_progress_bars
from reformer.tasks.model_setup import local_place, tokenizer_beside


def convert_to_folder(
    place: str,
    folder: Path,
    *,
    length: int | None = None,
    layers: int | None = None,
    kind: str | None = None,
    window: int | None = None,
    accept_licence: bool = False,
) -> Converted:
    """Convert the model at a place, and save it with its tokenizer; the folder appears when both are whole.

    Args:
        place: a folder that transformers has written, a name on the Hugging Face hub, or `index:NAME`.
        folder: a new one.
        length, layers, kind, window, accept_licence: see `reformer.models.pretrained.convert`.

    Raises:
        ReformerError: the folder exists, the model cannot be converted, or it has no tokenizer.
    """
    remove_leftovers(folder.parent, folder.name)
    if os.path.lexists(folder):
        raise ReformerError(f"{folder}: this exists already; give a new folder")
    source = local_place(place)
    tokenizer = tokenizer_beside(place, source)
    found = converted(source, length=length, layers=layers, kind=kind, window=window, accept_licence=accept_licence)
    make_folders(folder.parent)
    with new_folder(folder) as whole, no_progress_bars():
        found.model.save_pretrained(str(whole))
        tokenizer.save_pretrained(str(whole))
    if place != source:
        return replace(found, licences=(PRETRAINED[place.removeprefix("index:")].licence,))
    return found
