"""Texts scored in pieces: the numbers of one pass, also when interrupted; a fault is a message and loses nothing."""

import gzip
import json
import math
import os
import signal
import sys

import pytest
import torch
from torch.nn.functional import cross_entropy

from reformer.data import DataError, byte_tokenizer, character_tokenizer
from reformer.errors import ReformerError
from reformer.inference import scoring as score_module
from reformer.inference.scoring import InterruptedScoreError, find_texts, score
from reformer.inference.token_scores import Reader
from reformer.models import ReformerConfig, ReformerForCausalLM
from reformer.tasks.base import Run
from reformer.tasks.recipe_checks import checked_recipe
from reformer.tasks.registry import TASKS
from tests.tiny import MODEL, language_recipe, write_text


def _run(folder, tokenizer, **fields) -> Run:
    """A language model that has learned nothing, which is enough to be surprised."""
    torch.manual_seed(0)
    options = MODEL | {"hidden_dropout_prob": 0.0, "is_decoder": True, "max_position_embeddings": 64} | fields
    model = ReformerForCausalLM(ReformerConfig(vocab_size=len(tokenizer), **options)).eval()
    (folder / "run").mkdir()
    model.save_pretrained(folder / "run")
    tokenizer.save_pretrained(folder / "run")
    recipe = checked_recipe(language_recipe(folder))
    return Run(folder / "run", recipe, TASKS["language-modelling"], model, tokenizer)  # pyright: ignore


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("REFORMER_CACHE", str(tmp_path / "cache"))
    return _run(tmp_path, byte_tokenizer())


@pytest.fixture
def file(tmp_path):
    return str(write_text(tmp_path / "a.txt", 300))


def _at_once(run: Run, file: str) -> torch.Tensor:
    with open(file, "rb") as text:
        ids = torch.tensor([run.tokenizer(text.read().decode()).input_ids])
    run.model.config.max_position_embeddings = 10**6
    with torch.no_grad():
        logits = run.model(ids).logits[0]
    return cross_entropy(logits[:-1], ids[0, 1:], reduction="none").double()


@pytest.mark.parametrize("piece", [1, 100, 10**6])
def test_in_pieces_of_any_size_it_is_the_score_of_one_pass(run, file, piece):
    [found] = score(run, find_texts([file]), piece=piece)
    losses = _at_once(run, file)
    assert found["tokens"] == found["bytes"] == len(losses) + 1
    assert found["bits_per_byte"] == pytest.approx(float(losses.mean()) / math.log(2), abs=1e-4)
    assert found["perplexity"] == pytest.approx(float(losses.mean().exp()), rel=1e-4)


def test_tokens_of_characters_have_their_bytes(tmp_path, file, monkeypatch):
    with open(file, encoding="utf-8") as text:
        content = text.read()
    run = _run(tmp_path, character_tokenizer(["theriverun 北\n"]))
    [found] = score(run, find_texts([file]), piece=50, per_token=tmp_path / "out.jsonl")
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = _at_once(run, file)
    assert records[0]["bits"] is None
    bits = [record["bits"] for record in records[1:]]
    assert bits == pytest.approx((losses / math.log(2)).tolist(), abs=1e-3)
    # "é" and "京" are not in the vocabulary: each of their bytes is a token with the whole character's place.
    pieces = {content.encode()[record["start"] : record["end"]].decode() for record in records}
    assert pieces == set(content)
    assert [record["start"] for record in records] == sorted(record["start"] for record in records)
    size = len(content.encode()) - records[1]["start"]
    assert found["bits_per_byte"] == pytest.approx(sum(bits) / size, abs=1e-3)


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
    # What came after the state was saved is written once more, not twice.
    with (tmp_path / "parts.jsonl").open("a") as written:
        written.write("half a li")
    assert score(run, texts, **options) == whole
    assert (tmp_path / "parts.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert score(run, texts, **options) == whole


def test_a_state_is_kept_as_time_goes_by(run, tmp_path, file, monkeypatch):
    monkeypatch.setattr(score_module, "SECONDS_BETWEEN_STATES", -1.0)
    state, positions = tmp_path / "state.safetensors", []

    def fail(text, result):
        positions.append(result["bytes"])
        if len(positions) == 3:
            raise KeyboardInterrupt

    texts = find_texts([file])
    whole = score(run, texts, piece=50)
    with pytest.raises(KeyboardInterrupt):
        score(run, texts, piece=50, state=state, on_progress=fail)
    assert score(run, texts, piece=50, state=state, on_progress=lambda text, found: positions.append(found["bytes"]))
    assert positions[:4] == [50, 100, 150, 150]
    assert score(run, texts, piece=50, state=state) == whole


def test_a_state_that_does_not_fit_is_refused(run, tmp_path, file, monkeypatch):
    state = tmp_path / "state.safetensors"

    def stop(text, result):
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(InterruptedScoreError):
        score(run, find_texts([file]), piece=100, state=state, on_progress=stop)
    with pytest.raises(ReformerError, match="made with --piece 100; give the same"):
        score(run, find_texts([file]), piece=50, state=state)
    with pytest.raises(ReformerError, match="made without --per-token"):
        score(run, find_texts([file]), piece=100, state=state, per_token=tmp_path / "out.jsonl")
    other = str(write_text(tmp_path / "b.txt", 300, seed=1))
    with pytest.raises(DataError, match=r"b\.txt: its first 100 bytes are not those that the state was made from"):
        score(run, find_texts([other]), piece=100, state=state)
    [found] = score(run, find_texts([file]), piece=100, state=state)
    with pytest.raises(ReformerError, match=r"b\.txt is not the same; give the same files"):
        score(run, find_texts([other]), piece=100, state=state)
    config = run.folder / "config.json"
    config.write_text(config.read_text() + " ")
    with pytest.raises(ReformerError, match="made with another model"):
        score(run, find_texts([file]), piece=100, state=state)
    state.write_bytes(b"nonsense")
    with pytest.raises(ReformerError, match="no state that `reformer score` has written"):
        score(run, find_texts([file]), piece=100, state=state)
    assert found["bytes"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_full_disk_is_one_message(run, tmp_path, file, kind):
    (tmp_path / f"out.{kind}").symlink_to("/dev/full")
    with pytest.raises(ReformerError, match=rf"out\.{kind}: this cannot be written.*No space left on device"):
        score(run, find_texts([file]), per_token=tmp_path / f"out.{kind}", overwrite=True)


def test_a_state_that_cannot_be_written_is_one_message(run, tmp_path, file):
    with pytest.raises(ReformerError, match="the state cannot be written"):
        score(run, find_texts([file]), state=tmp_path / "none" / "state.safetensors")


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


def test_a_packed_text_is_scored_like_the_plain_one(run, tmp_path, file):
    with open(file, "rb") as plain, gzip.open(tmp_path / "a.txt.gz", "wb") as packed:
        packed.write(plain.read())
    plain, packed = score(run, find_texts([file, str(tmp_path / "a.txt.gz")]))
    assert plain | {"file": ""} == packed | {"file": ""}


def test_memory_does_not_grow_with_the_text(run, tmp_path):
    [text] = find_texts([str(write_text(tmp_path / "long.txt", 3000))])
    reader = Reader(run, text, 500)
    sizes = [sum(tensor.nbytes for tensor in reader.state()[0].values()) for _ in reader]
    assert len(sizes) > 5
    assert len(set(sizes)) == 1


def test_more_tokens_than_positions_are_named(tmp_path, file):
    run = _run(tmp_path, byte_tokenizer(), position_embedding_type="learned")
    with pytest.raises(DataError, match="it has more than 64 tokens, the positions this model has"):
        score(run, find_texts([file]))


def test_a_text_of_one_token_has_no_score(run, tmp_path):
    (tmp_path / "one.txt").write_text("a", encoding="utf-8")
    [found] = score(run, find_texts([str(tmp_path / "one.txt")]))
    assert math.isnan(found["bits_per_byte"])


def test_bytes_that_are_no_text_are_scored_by_a_model_of_bytes(run, tmp_path):
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    assert score(run, find_texts([str(tmp_path / "bytes")]))[0]["tokens"] == 256


def test_an_empty_file_and_a_folder_are_named(tmp_path):
    (tmp_path / "empty.txt").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty\.txt: there is no text in it"):
        find_texts([str(tmp_path / "empty.txt")])
    with pytest.raises(ReformerError, match="this is a folder"):
        find_texts([str(tmp_path)])
