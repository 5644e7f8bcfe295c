"""Vocabularies cut to the pieces that texts need, with a reserve for texts that are still to come."""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from reformer.data.errors import DataError

RESERVE = 2000
"""Pieces kept beside those of the texts: the first of the vocabulary, which are the most frequent ones."""

_TEXTS_AT_A_TIME = 256
_MARKS = ("##", "\u2581")
"""What pieces begin with that go on within a word, or begin one."""


def used_vocabulary(
    tokenizer: PreTrainedTokenizerFast, texts: Iterable[str], reserve: int = RESERVE
) -> tuple[PreTrainedTokenizerFast, list[int]]:
    """A tokenizer of the pieces that these texts have, and the number that each of them had before.

    Kept beside those are special tokens, every piece of one character in a script of the texts, so that no name of
    theirs becomes unknown, and the first `reserve` pieces. These texts are cut into the same pieces as before: the best
    pieces are still there, and no other ones are. Other texts may be cut into more and shorter ones.

    Raises:
        DataError: a tokenizer whose pieces are made of each other (BPE), so that none can go.
    """
    spec = json.loads(tokenizer.backend_tokenizer.to_str())
    pieces = _pieces(spec, tokenizer)
    counts: Counter[int] = Counter()
    scripts: set[str] = set()
    left = iter(texts)
    while batch := list(islice(left, _TEXTS_AT_A_TIME)):
        for ids in tokenizer(batch, add_special_tokens=False, verbose=False)["input_ids"]:
            counts.update(ids)
        scripts.update(map(_script, set("".join(batch))))
    special = {entry["id"] for entry in spec["added_tokens"]}
    kept = sorted(
        number
        for number, piece in enumerate(pieces)
        if number in special or number in counts or number < reserve or _is_character(piece, scripts)
    )
    new = {old: number for number, old in enumerate(kept)}
    _cut(spec, new)
    names = {name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    cut = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(spec)),
        clean_up_tokenization_spaces=False,
        model_max_length=tokenizer.model_max_length,
        **names,  # pyright: ignore[reportArgumentType]
    )
    return cut, kept


def _pieces(spec: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """The pieces by their numbers."""
    kind = spec["model"]["type"]
    if kind not in ("Unigram", "WordPiece"):
        raise DataError(
            None,
            None,
            f"a vocabulary of the kind {kind} is built of merges of its own pieces, so none of them can be left out",
            "leave tokenizer.vocabulary out",
        )
    return list(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))))


def _cut(spec: dict[str, Any], new: dict[int, int]) -> None:
    """Take the pieces without a new number out of a tokenizer's description."""
    model = spec["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [entry for old, entry in enumerate(model["vocab"]) if old in new]
        if model["unk_id"] is not None:
            model["unk_id"] = new[model["unk_id"]]
    else:
        model["vocab"] = {piece: new[old] for piece, old in model["vocab"].items() if old in new}
    for entry in spec["added_tokens"]:
        entry["id"] = new[entry["id"]]
    if spec["post_processor"] is not None:
        for processor in _processors(spec["post_processor"]):
            for name in ("cls", "sep"):
                if name in processor:
                    processor[name][1] = new[processor[name][1]]
            for entry in processor.get("special_tokens", {}).values():
                entry["ids"] = [new[old] for old in entry["ids"]]
    spec["padding"] = None


def _processors(processor: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if processor["type"] != "Sequence":
        yield processor
        return
    for part in processor["processors"]:
        yield from _processors(part)


def _is_character(piece: str, scripts: set[str]) -> bool:
    for mark in _MARKS:
        piece = piece.removeprefix(mark)
    return len(piece) == 1 and _script(piece) in scripts


def _script(character: str) -> str:
    """The first word of a character's name: CJK, LATIN, CYRILLIC, ..."""
    return unicodedata.name(character, "").partition(" ")[0]
