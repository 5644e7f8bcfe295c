"""Training steps on one thread and on several: contracts, that steps train, and the table."""

import pytest
import torch

from benchmarks import markdown
from benchmarks.contenders import sharing
from benchmarks.registry import CASES


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """The models of the case, one layer each, with short sequences."""
    small = {
        name: (fields | {"attention_layers": fields["attention_layers"][:1], "vocab_size": 50}, rows, 16)
        for name, (fields, rows, _) in sharing.MODELS.items()
    }
    monkeypatch.setattr(sharing, "MODELS", small)
    monkeypatch.setattr(sharing, "STEPS", 1)


@pytest.mark.parametrize("name", list(sharing.MODELS))
def test_gradients_of_parts_are_those_of_the_batch(name):
    assert "at most" in sharing.sharing("x", name, 2, True).check()


def test_there_is_every_model_every_way_beside_everything():
    found = {(each.options["model"], each.options["threads"], each.options["parts"], each.options["beside"])
             for each in CASES["threads"].contenders}  # fmt: skip
    assert len(found) == len(CASES["threads"].contenders) == len(sharing.MODELS) * 3 * (1 + len(sharing.BUSY))


@pytest.mark.parametrize(
    ("threads", "parts", "beside"),
    [(1, False, None), (2, False, None), (2, True, None), *((2, True, busy) for busy in sharing.BUSY)],
)
def test_a_turn_trains_and_ends_what_runs_beside(threads, parts, beside):
    try:
        action = sharing.sharing("x", "small", threads, parts, beside).build(1)["step"]
        process = action.prepare()
        assert (process is None) == (beside is None)
        assert process is None or process.poll() is None
        action.run(process)
        assert process is None or process.poll() is not None
    finally:
        torch.set_num_threads(1)


def test_the_table_tells_tokens_a_second_and_the_multiple_of_one_thread():
    rows = [
        {"contender": name, "action": "step", "length": 1, "status": "ok", "model": "small", "threads": threads,
         "parts": parts, "beside": "nothing", "median_seconds": seconds, "facts": {"tokens": 1000}}
        for name, threads, parts, seconds in (("a", 1, False, 2.0), ("b", 2, False, 1.6), ("c", 2, True, 1.0))
    ]  # fmt: skip
    told = markdown.threads({"actions": ["step"], "contracts": dict.fromkeys("abc", ""), "rows": rows})
    assert "| small, nothing | 500 (1.00) | 625 (1.25) | 1,000 (2.00) |" in told
