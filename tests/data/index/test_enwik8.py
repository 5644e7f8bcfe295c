"""enwik8: split by position, and the only data set of running text."""

import gzip

import pytest

from reformer.data import DataError, byte_tokenizer, load_texts, token_ids
from reformer.data.index import _enwik8


def test_enwik8_is_split_by_position(tmp_path, monkeypatch):
    with gzip.open(tmp_path / "enwik8.gz", "wb") as packed:
        packed.write(b"abcdefghij")
    monkeypatch.setattr(_enwik8, "fetch", lambda name: tmp_path)
    monkeypatch.setattr(_enwik8, "ENWIK8_SPLITS", {"train": (0, 8), "validation": (8, 9), "test": (9, 10)})
    splits = {split: token_ids(text, byte_tokenizer()) for split, text in load_texts("index:enwik8").items()}
    assert {split: bytes((ids.read(0, 99) - 5).tolist()) for split, ids in splits.items()} == {
        "train": b"abcdefgh",
        "validation": b"i",
        "test": b"j",
    }


def test_other_sources_have_no_running_text():
    with pytest.raises(DataError, match="no such data set; a language model needs running text"):
        load_texts("index:nonsense")
    with pytest.raises(DataError, match=r"people-daily: a language model needs running text"):
        load_texts("index:people-daily")
