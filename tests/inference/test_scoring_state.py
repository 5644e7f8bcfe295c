"""The state of a scoring: written as time goes by, continued from, and refused where it does not fit."""

import json
import os
import signal

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file

from reformer.data import DataError
from reformer.errors import ReformerError
from reformer.inference import scoring as scoring
from reformer.inference.scoring import InterruptedScoreError, find_texts, score
from reformer.inference.scoring_state import ENTRY, read_state
from tests.tiny import write_text


def test_a_state_is_kept_as_time_goes_by(run, tmp_path, file, monkeypatch):
    monkeypatch.setattr(scoring, "SECONDS_BETWEEN_STATES", -1.0)
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


def test_a_state_that_cannot_be_written_is_one_message(run, tmp_path, file):
    with pytest.raises(ReformerError, match="the state cannot be written"):
        score(run, find_texts([file]), state=tmp_path / "none" / "state.safetensors")


def test_a_state_of_an_earlier_version_is_continued(run, tmp_path, file):
    path, texts = tmp_path / "state.safetensors", find_texts([file])

    def stop(text, result):
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(InterruptedScoreError):
        score(run, texts, piece=100, state=path, on_progress=stop)
    with safe_open(path, "pt") as opened:
        numbers = json.loads(opened.metadata()[ENTRY])
    numbers["totals"]["foretold"] = numbers["totals"].pop("predicted")
    path.write_bytes(save(load_file(path), {ENTRY: json.dumps(numbers)}))
    assert score(run, texts, piece=100, state=path) == score(run, texts, piece=100)


@pytest.mark.parametrize(
    "fields",
    [
        {"done": 5},
        {"done": [{"bytes": "x", "digest": "d", "file": "f"}]},
        {"totals": {"position": 1}},
        {"totals": 5},
        {"piece": "50"},
        {"layout": 2},
        {"later": 1},
        {"per_token": "x"},
    ],
    ids=str,
)
def test_a_state_of_another_form_is_refused(fields, tmp_path):
    state = tmp_path / "state.safetensors"
    numbers = {"layout": 1, "run": "r", "piece": 50, "done": [], "digest": None, "totals": None, "per_token": None}
    save_file({"x": torch.ones(1)}, state, {ENTRY: json.dumps(numbers)})
    assert read_state(state, "r", 50).done == []
    save_file({"x": torch.ones(1)}, state, {ENTRY: json.dumps(numbers | fields)})
    with pytest.raises(ReformerError, match="no state that `reformer score` has written"):
        read_state(state, "r", 50)
