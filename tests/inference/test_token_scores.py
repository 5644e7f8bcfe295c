"""Token scores: places and surprisals, constant memory, and texts that are too long or too short."""

import json
import math

import pytest

from reformer.data import DataError, byte_tokenizer, character_tokenizer
from reformer.inference.scoring import find_texts, score
from reformer.inference.token_scores import TextScorer
from tests.inference.untrained import losses_at_once, untrained_run
from tests.tiny import write_text


def test_tokens_of_characters_have_their_bytes(tmp_path, file, monkeypatch):
    with open(file, encoding="utf-8") as text:
        content = text.read()
    run = untrained_run(tmp_path, character_tokenizer(["theriverun 北\n"]))
    [found] = score(run, find_texts([file]), piece=50, per_token=tmp_path / "out.jsonl")
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = losses_at_once(run, file)
    assert records[0]["bits"] is None
    bits = [record["bits"] for record in records[1:]]
    assert bits == pytest.approx((losses / math.log(2)).tolist(), abs=1e-3)
    # "é" and "京" are not in the vocabulary: each of their bytes is a token with the whole character's place.
    pieces = {content.encode()[record["start"] : record["end"]].decode() for record in records}
    assert pieces == set(content)
    assert [record["start"] for record in records] == sorted(record["start"] for record in records)
    size = len(content.encode()) - records[1]["start"]
    assert found["bits_per_byte"] == pytest.approx(sum(bits) / size, abs=1e-3)


def test_memory_does_not_grow_with_the_text(run, tmp_path):
    [text] = find_texts([str(write_text(tmp_path / "long.txt", 3000))])
    scorer = TextScorer(run, text, 500)
    sizes = [sum(tensor.nbytes for tensor in scorer.state()[0].values()) for _ in scorer]
    assert len(sizes) > 5
    assert len(set(sizes)) == 1


def test_more_tokens_than_positions_are_named(tmp_path, file):
    run = untrained_run(tmp_path, byte_tokenizer(), position_embedding_type="learned")
    with pytest.raises(DataError, match="it has more than 64 tokens, the positions this model has"):
        score(run, find_texts([file]))


def test_a_text_of_one_token_has_no_score(run, tmp_path):
    (tmp_path / "one.txt").write_text("a", encoding="utf-8")
    [found] = score(run, find_texts([str(tmp_path / "one.txt")]))
    assert math.isnan(found["bits_per_byte"])
