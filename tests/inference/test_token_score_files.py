"""Files of token scores: JSON lines and Parquet with the same numbers, and messages for what goes wrong."""

import json
import os
import sys

import pytest

from reformer.errors import ReformerError
from reformer.inference.scoring import find_texts, score


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_full_disk_is_one_message(run, tmp_path, file, kind):
    (tmp_path / f"out.{kind}").symlink_to("/dev/full")
    with pytest.raises(ReformerError, match=rf"out\.{kind}: this cannot be written.*No space left on device"):
        score(run, find_texts([file]), per_token=tmp_path / f"out.{kind}", overwrite=True)


def test_the_file_of_tokens_is_not_written_over_unasked(run, tmp_path, file):
    (tmp_path / "out.jsonl").write_text("dear", encoding="utf-8")
    with pytest.raises(ReformerError, match="exists already"):
        score(run, find_texts([file]), per_token=tmp_path / "out.jsonl")
    score(run, find_texts([file]), per_token=tmp_path / "out.jsonl", overwrite=True)
    with pytest.raises(ReformerError, match=r"ends with \.jsonl or \.parquet"):
        score(run, find_texts([file]), per_token=tmp_path / "out.csv")
    with pytest.raises(ReformerError, match="a Parquet file cannot be gone on with"):
        score(run, find_texts([file]), per_token=tmp_path / "out.parquet", state=tmp_path / "s.safetensors")


def test_parquet_that_is_not_installed_is_named_by_its_extra(run, tmp_path, file, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ReformerError, match=r"pip install 'reformer-torch\[parquet\]'"):
        score(run, find_texts([file]), per_token=tmp_path / "out.parquet")


def test_parquet_has_the_same_numbers(run, tmp_path, file):
    from pyarrow.parquet import read_table

    with pytest.raises(ReformerError, match=r"none.out\.parquet: this cannot be written"):
        score(run, find_texts([file]), per_token=tmp_path / "none/out.parquet")
    for name in ("out.parquet", "out.jsonl"):
        score(run, find_texts([file]), piece=100, per_token=tmp_path / name)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    for row, line in zip(read_table(tmp_path / "out.parquet").to_pylist(), lines, strict=True):
        assert row | {"bits": None} == line | {"bits": None}
        assert row["bits"] == (line["bits"] if line["bits"] is None else pytest.approx(line["bits"], abs=1e-5))
