"""Characters beside pieces: the piece of each in a text, its own token and its place in the piece; those of a token."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from transformers import PreTrainedTokenizerFast

_MARKS = ("", "##", "\u2581")
"""What the token of a single character may begin with."""


class CharacterTokens:
    """The token that each character alone is in a tokenizer's vocabulary, unknown ones included.

    Args:
        tokenizer: with an unknown token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._vocabulary = tokenizer.get_vocab()
        self._normalizer = tokenizer.backend_tokenizer.normalizer
        unknown = tokenizer.unk_token_id
        self._unknown = unknown if isinstance(unknown, int) else 0
        self._known: dict[str, int] = {}

    def __call__(self, text: str, offsets: Sequence[tuple[int, int]]) -> Int[np.ndarray, "3 characters"]:
        """Three rows: the index of the piece that has the character, the character's own token, its place in the piece.

        A character that no piece stands for, such as white space, belongs to the piece before it, or to the first one.

        Args:
            offsets: the characters of each piece, none for a special token.
        """
        found = np.zeros((3, len(text)), dtype=np.int32)
        found[0] = -1
        for piece, (start, end) in enumerate(offsets):
            found[0, start:end] = piece
            found[2, start:end] = np.arange(end - start)
        covered = found[0] >= 0
        first = int(found[0, covered.argmax()]) if covered.any() else 0
        last = np.maximum.accumulate(np.where(covered, np.arange(len(text)), -1))
        found[0] = np.where(last < 0, first, found[0, last])
        found[1] = [self._token(character) for character in text]
        return found

    def _token(self, character: str) -> int:
        if character not in self._known:
            normal = character if self._normalizer is None else self._normalizer.normalize_str(character)
            numbers = (self._vocabulary.get(mark + normal) for mark in _MARKS if normal)
            self._known[character] = next((number for number in numbers if number is not None), self._unknown)
        return self._known[character]


def token_characters(tokenizer: PreTrainedTokenizerFast, rows: int, most: int) -> Int[np.ndarray, "rows most"]:
    """The code points of the characters that each token stands for, plus one, and 0 behind them.

    A token that begins a word begins with a space where the tokenizer tells so. The unknown token stands for one
    unknown character, and any other special token for none.

    Args:
        rows: one for each token, and further ones that are 0.
        most: of a longer token only so many characters are there.
    """
    names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    unknown = tokenizer.unk_token_id
    special = [number for number in tokenizer.all_special_ids if number != unknown]
    continued = any(name.startswith("##") for name in names)
    found = np.zeros((rows, most), dtype=np.int32)
    for number, name in enumerate(names):
        if number in special:
            continue
        if number == unknown:
            text = "\ufffd"
        elif continued and len(name) > 1:
            text = name.removeprefix("##") if name.startswith("##") else f" {name}"
        else:
            text = name.replace("\u2581", " ")
        points = np.frombuffer(text[:most].encode("utf-32-le", "surrogatepass"), dtype="<u4")
        found[number, : len(points)] = points.astype(np.int64) + 1
    return found
