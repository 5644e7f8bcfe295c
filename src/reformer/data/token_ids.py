"""A text of any size as token ids that stay on disk and are mapped into memory where they are read."""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerFast

from reformer.data.cache import cache_folder, file_key, is_kept, new_cache_file
from reformer.data.errors import DataError
from reformer.data.texts import Stretch, text_pieces
from reformer.data.tokenizers import byte_ids_begin


@dataclass(frozen=True, slots=True)
class _Run:
    """Neighbouring ids in one file: the items from `start` to `stop` of a given type, each `shift` below its id."""

    path: Path
    start: int
    stop: int
    name: str


class TokenIds:
    """The token ids of a text, read by position; `text_bytes` is how many bytes of text they stand for.

    Args:
        runs: where the ids lie, one after the other.
        dtype: their type on disk.
        shift: what is added to each.
    """

    def __init__(self, runs: Iterable[_Run], dtype: type[np.unsignedinteger], shift: int, text_bytes: int) -> None:
        self._runs = list(runs)
        self._ends = list(accumulate(run.stop - run.start for run in self._runs))
        self._dtype, self._shift = dtype, shift
        self.text_bytes = text_bytes

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def read(self, start: int, stop: int) -> np.ndarray:
        """The ids from `start` up to `stop`, int64.

        Raises:
            DataError: a file is gone or shorter than it was.
        """
        parts = []
        number = bisect_right(self._ends, start)
        while start < min(stop, len(self)):
            run, end = self._runs[number], self._ends[number]
            first = run.stop - (end - start)
            last = min(run.stop, first + stop - start)
            parts.append(self._map(run)[first:last].astype(np.int64) + self._shift)
            start, number = start + last - first, number + 1
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    def _map(self, run: _Run) -> np.memmap:
        # Mapped for each reading, so that a folder of many files does not use up what may be mapped at a time.
        try:
            mapped = np.memmap(run.path, dtype=self._dtype, mode="r")
        except (OSError, ValueError) as error:
            raise DataError(run.name, None, f"cannot be read ({error})", "leave the file where it was") from error
        if len(mapped) < run.stop:
            raise DataError(run.name, None, "it has become shorter", "leave the file as it is while it is used")
        return mapped


def token_ids(stretches: Sequence[Stretch], tokenizer: PreTrainedTokenizerFast) -> TokenIds:
    """The ids of a text. Of bytes the file itself is mapped; other tokens are written to the cache folder once.

    Raises:
        DataError: a file cannot be read, is not UTF-8 where tokens are characters, or the disk is full.
    """
    text_bytes = sum(map(len, stretches))
    shift = byte_ids_begin(tokenizer)
    if shift is not None:
        runs = [_Run(stretch.path, stretch.start, stretch.stop, stretch.name) for stretch in stretches]
        return TokenIds(runs, np.uint8, shift, text_bytes)
    dtype = np.uint16 if len(tokenizer) <= 1 << 16 else np.uint32
    path = cache_folder() / "tokens" / f"{_key(stretches, tokenizer)}.{np.dtype(dtype).name}"
    if not is_kept(path):
        with new_cache_file(path) as file:
            for stretch in stretches:
                for _, text in text_pieces(stretch):
                    file.write(np.array(encode_piece(tokenizer, text), dtype=dtype).tobytes())
    size = path.stat().st_size // np.dtype(dtype).itemsize
    if not size:
        raise DataError(stretches[0].name, None, "this text has no token", "give a text that has some")
    return TokenIds([_Run(path, 0, size, str(path))], dtype, 0, text_bytes)


def encode_piece(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """The ids of a piece of running text, with no special token around it."""
    encoding = tokenizer(
        text, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False, verbose=False
    )
    return encoding["input_ids"]


def _key(stretches: Sequence[Stretch], tokenizer: PreTrainedTokenizerFast) -> str:
    digest = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode())
    for stretch in stretches:
        digest.update(f"{file_key(stretch.path)}\0{stretch.start}\0{stretch.stop}\0".encode())
    return digest.hexdigest()[:24]
