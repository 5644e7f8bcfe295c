"""Texts scored in pieces: the numbers of one pass, also when interrupted."""

import gzip
import math
import os
import signal

import pytest

from reformer.data import DataError
from reformer.errors import ReformerError
from reformer.inference.scoring import InterruptedScoreError, find_texts, score
from tests.inference.untrained import losses_at_once
from tests.tiny import write_text


@pytest.mark.parametrize("piece", [1, 100, 10**6])
def test_in_pieces_of_any_size_it_is_the_score_of_one_pass(run, file, piece):
    [found] = score(run, find_texts([file]), piece=piece)
    losses = losses_at_once(run, file)
    assert found["tokens"] == found["bytes"] == len(losses) + 1
    assert found["bits_per_byte"] == pytest.approx(float(losses.mean()) / math.log(2), abs=1e-4)
    assert found["perplexity"] == pytest.approx(float(losses.mean().exp()), rel=1e-4)


@pytest.mark.parametrize(("stop_after", "number"), [(1, signal.SIGINT), (3, signal.SIGTERM), (6, signal.SIGINT)])
def test_interrupted_and_gone_on_with_is_uninterrupted(run, tmp_path, file, monkeypatch, stop_after, number):
    other = str(write_text(tmp_path / "b.txt", 150, seed=1))
    texts = find_texts([file, other])
    whole = score(run, texts, piece=100, per_token=tmp_path / "whole.jsonl")
    seen = 0

    def press(text, result):
        nonlocal seen
        seen += 1
        if seen == stop_after:
            os.kill(os.getpid(), number)

    options = {"piece": 100, "per_token": tmp_path / "parts.jsonl", "state": tmp_path / "state.safetensors"}
    with pytest.raises(InterruptedScoreError, match="give the same command again to go on") as stopped:
        score(run, texts, on_progress=press, **options)
    assert stopped.value.exit_status == 128 + number
    # Lines after the saved state are written once more, not twice.
    assert not (tmp_path / "parts.jsonl").exists()
    with (tmp_path / ".unfinished-parts.jsonl").open("a") as written:
        written.write("half a li")
    assert score(run, texts, **options) == whole
    assert (tmp_path / "parts.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert score(run, texts, **options) == whole


def test_a_packed_text_is_scored_like_the_plain_one(run, tmp_path, file):
    with open(file, "rb") as plain, gzip.open(tmp_path / "a.txt.gz", "wb") as packed:
        packed.write(plain.read())
    plain, packed = score(run, find_texts([file, str(tmp_path / "a.txt.gz")]))
    assert plain | {"file": ""} == packed | {"file": ""}


def test_bytes_that_are_no_text_are_scored_by_a_model_of_bytes(run, tmp_path):
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    assert score(run, find_texts([str(tmp_path / "bytes")]))[0]["tokens"] == 256


def test_an_empty_file_and_a_folder_are_named(tmp_path):
    (tmp_path / "empty.txt").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty\.txt: there is no text in it"):
        find_texts([str(tmp_path / "empty.txt")])
    with pytest.raises(ReformerError, match="this is a folder"):
        find_texts([str(tmp_path)])
