"""Tokenizers with exact character offsets: characters, bytes, or any fast tokenizer by path or name."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.tokenization_utils_base import VERY_LARGE_INTEGER

from reformer.data.errors import DataError

_SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
_BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]


def character_tokenizer(
    texts: Iterable[str], *, vocab_size: int = 8192, min_frequency: int = 1
) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are the most frequent characters of `texts`, spaces and line breaks included.

    The vocabulary is `[PAD] [UNK] [CLS] [SEP] [MASK]`, the 256 bytes, and the characters that occur at least
    `min_frequency` times, most frequent first, up to `vocab_size` tokens in all. A character outside of it
    becomes its UTF-8 bytes, one token each, all with the offsets of the whole character. So every text comes
    back from `decode`, no `[UNK]` arises, and offsets always point into the raw text: nothing is normalised.

    No special token is put around a text, and one that is spelled out in a text ("[MASK]") is read as
    ordinary characters; give `split_special_tokens=False` in a call to have it recognised. There is no maximum
    length: the model has one, the tokenizer has none.

    Raises `ValueError` when `vocab_size` has no room for the 261 fixed tokens.

    >>> tokenizer = character_tokenizer(["北京欢迎你"])
    >>> tokenizer.convert_ids_to_tokens(tokenizer("北é").input_ids)
    ['北', '<0xC3>', '<0xA9>']
    """
    fixed = len(_SPECIAL_TOKENS) + len(_BYTE_TOKENS)
    if vocab_size < fixed:
        raise ValueError(f"vocab_size is {vocab_size}; the special tokens and the 256 bytes alone need {fixed}")
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    frequent = [(count, character) for character, count in counts.items() if count >= min_frequency]
    frequent.sort(key=lambda pair: (-pair[0], pair[1]))
    return _fast_tokenizer([character for _, character in frequent[: vocab_size - fixed]])


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of 261 tokens: the five special ones, then byte `b` of the UTF-8 text as token `5 + b`.

    It is `character_tokenizer` without characters, so all that holds there holds here; the offsets are in
    characters of the raw text.

    >>> byte_tokenizer()("é").input_ids
    [200, 174]
    """
    return _fast_tokenizer([])


def token_bytes(tokenizer: PreTrainedTokenizerFast) -> list[bytes] | None:
    """The bytes that each token of a character or byte tokenizer stands for, none for special tokens.

    None for a tokenizer of another kind, whose tokens do not stand for bytes one by one.

    >>> token_bytes(byte_tokenizer())[200]
    b'\xc3'
    """
    first = len(_SPECIAL_TOKENS)
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    if tokens[:first] != list(_SPECIAL_TOKENS.values()) or tokens[first : first + 256] != _BYTE_TOKENS:
        return None
    characters = tokens[first + 256 :]
    return [b""] * first + [bytes([byte]) for byte in range(256)] + [token.encode() for token in characters]


def byte_ids_begin(tokenizer: PreTrainedTokenizerFast) -> int | None:
    """The id of byte 0 where every token is a byte; None for a tokenizer of another kind."""
    first = len(_SPECIAL_TOKENS)
    return first if len(tokenizer) == first + 256 and token_bytes(tokenizer) is not None else None


def load_tokenizer(name_or_path: str | os.PathLike[str]) -> PreTrainedTokenizerFast:
    """The tokenizer of a folder, or else of that name on the Hugging Face hub.

    A folder that exists is taken first. Code that comes with a tokenizer is never run. The tokenizer must be a
    fast one, since only these know their tokens' places in the text. Its maximum length is lifted: how much
    text fits is for the model to say.

    Raises `DataError` when there is no such tokenizer, when it is broken, or when it is not a fast one.
    """
    name = os.fspath(name_or_path)
    is_folder = Path(name).is_dir()
    if not is_folder and Path(name).exists():
        raise DataError(name, None, "a tokenizer is a folder, and this is a file", f"give {Path(name).parent}")
    if not is_folder and (name.startswith((".", "~")) or Path(name).is_absolute()):
        raise DataError(name, None, "there is no such folder", "give a folder that holds a tokenizer.json")
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False, use_fast=True)
    # Hub, JSON and tokenizer errors share no base class, and each means the same to the user.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        remedy = (
            "give a folder that save_pretrained has written, with its tokenizer.json"
            if is_folder
            else "give a folder that holds a tokenizer.json, or the name of one on the Hugging Face hub"
        )
        raise DataError(name, None, f"no tokenizer could be loaded ({reason})", remedy) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise DataError(
            name,
            None,
            f"{type(tokenizer).__name__} is no fast tokenizer, so it cannot tell where in the text a token stands",
            "use one with a tokenizer.json",
        )
    tokenizer.model_max_length = VERY_LARGE_INTEGER
    # Those made for sentence vectors cut and pad every text to a length that their file names.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def _fast_tokenizer(characters: list[str]) -> PreTrainedTokenizerFast:
    tokens = [*_SPECIAL_TOKENS.values(), *_BYTE_TOKENS, *characters]
    model = models.BPE(
        vocab={token: number for number, token in enumerate(tokens)},
        merges=[],
        unk_token=_SPECIAL_TOKENS["unk_token"],
        byte_fallback=True,
    )
    backend = Tokenizer(model)
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
        **_SPECIAL_TOKENS,
    )
