"""The benchmark of a card, on a machine without one: what is measured, kept, resumed, refused and told."""

import json
import time

import pytest
import torch

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import card, contenders, contract, counting, parts, registry, tables
from benchmarks.gpu.file import CardFile
from benchmarks.gpu.guard import LIMIT, NO_MEMORY, Guard
from reformer.errors import ReformerError
from reformer.ops import gpu, position_slots

CARD = {"card": "Card", "driver": "1", "cuda": "13", "commit": "abc", "versions": {"torch": "2", "triton": "3"}}
runs = pytest.mark.skipif(gpu.refusal(torch.empty(0)) is not None, reason=str(gpu.refusal(torch.empty(0))))


@pytest.mark.skipif(torch.cuda.is_available() or gpu.INTERPRETED, reason="there is something to measure")
def test_without_a_card_it_says_what_is_needed(capsys):
    assert command.main([]) == 2
    assert capsys.readouterr().err.startswith("torch sees no GPU, and this measures one.")


def test_in_the_interpreter_nothing_is_timed(monkeypatch, capsys):
    monkeypatch.setattr(gpu, "INTERPRETED", True)
    monkeypatch.setattr(gpu, "MISSING", None)
    assert command.main(["--part", "op"]) == 2
    assert "the contract alone can be checked" in capsys.readouterr().err


def test_everybody_is_measured_at_every_length():
    names = [each.contender.name for each in (*registry.op(), *registry.train())]
    assert len(set(names)) == len(names)
    assert {"ours, 4 rounds", "full attention, flash", "FlexAttention, local window", "transformers"} <= {*names}
    for name in names:
        assert registry.find(name).name == name
    lengths = {length for each in registry.op() for length in each.lengths}
    assert lengths == {1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20}
    assert registry.train()[0].lengths[-1] == 1 << 22


class FakeGuard:
    """Answers by contender, length and action; what is not listed takes a second."""

    answers = {}  # noqa: RUF012
    asked = []  # noqa: RUF012

    def __init__(self, contender, device, limit):
        self.contender = contender

    def check(self):
        return self.answers.get((self.contender, "check"), {"seen": "well"})

    def measure(self, length, action):
        self.asked.append((self.contender, length, action))
        plain = {"median_seconds": 1.0, "seconds": [1.0], "calls": 1, "peak_bytes": 5, "facts": {}}
        return dict(self.answers.get((self.contender, length, action), plain))

    def close(self):
        pass


@pytest.fixture
def guard(monkeypatch):
    monkeypatch.setattr(parts, "Guard", FakeGuard)
    monkeypatch.setattr(FakeGuard, "answers", {})
    monkeypatch.setattr(FakeGuard, "asked", [])
    return FakeGuard


def test_a_run_goes_on_where_it_stopped(tmp_path, guard):
    path = tmp_path / "gpu.json"
    over = parts.Effort(limit=1, ends=time.monotonic() - 1)
    assert all("the time is over" in line for line in parts.op(CardFile(path, CARD), over))
    assert not guard.asked
    list(parts.op(CardFile(path, CARD), parts.Effort(limit=1), lengths=[4096]))
    first = len(guard.asked)
    assert first == sum(len(each.actions) for each in registry.op())
    list(parts.op(CardFile(path, CARD), parts.Effort(limit=1), lengths=[4096, 8192]))
    assert len(guard.asked) == 2 * first
    assert len(set(guard.asked)) == 2 * first


def test_what_was_too_much_is_not_tried_at_a_greater_length(tmp_path, guard):
    guard.answers = {
        ("ours", 4096, "forward"): {"error": NO_MEMORY},
        ("transformers", 4096, "forward"): {"error": f"{LIMIT} of 9 seconds"},
        ("transformers, 4 rounds", 4096, "forward"): {"error": "TypeError: something else"},
    }
    file = CardFile(tmp_path / "gpu.json", CARD)
    list(parts.op(file, parts.Effort(limit=9), lengths=[4096, 8192]))
    rows = {(row["contender"], row["length"], row["action"]): row for row in file.result["rows"]}
    assert rows["ours", 8192, "forward"]["skipped"] == "out of memory at 4k"
    assert rows["transformers", 8192, "forward"]["skipped"] == f"{LIMIT} of 9 seconds at 4k"
    assert rows["transformers, 4 rounds", 8192, "forward"]["median_seconds"] == 1.0
    assert rows["ours", 8192, "forward+backward"]["median_seconds"] == 1.0
    file.result |= {"check": [{"call": "a", "dtype": "b", "holds": True}], "limits": LIMITS}
    text = tables.gpu(file.result)
    assert "- ours at 4k, forward: out of memory" in text
    assert "The contract holds in 1 of 1 calls." in text


def test_who_breaks_the_contract_is_not_measured(tmp_path, guard):
    guard.answers = {("transformers", "check"): {"error": "ContractError: no"}}
    file = CardFile(tmp_path / "gpu.json", CARD)
    lines = list(parts.op(file, parts.Effort(limit=9), lengths=[4096]))
    assert "transformers: contract not kept, not measured: ContractError: no" in lines
    assert not [row for row in file.result["rows"] if row["contender"] == "transformers"]
    assert "- transformers: ContractError: no" in tables.gpu(file.result)


@pytest.mark.parametrize("name", ["card", "driver", "versions"])
def test_a_file_is_of_one_card(tmp_path, name):
    path = tmp_path / "gpu.json"
    CardFile(path, CARD).write()
    CardFile(path, dict(CARD))
    with pytest.raises(ReformerError, match=f"was measured with {name} .*give another --output"):
        CardFile(path, CARD | {name: "other"})


def test_a_broken_contract_stops_everything(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(card, "missing", lambda: None)
    monkeypatch.setattr(card, "describe", lambda: CARD)
    monkeypatch.setattr(card, "limits", lambda: LIMITS)
    monkeypatch.setattr(contract, "error", lambda call, dtype, device: 1.0 if call.kind == "apart" else 0.0)
    path = tmp_path / "gpu.json"
    assert command.main(["--part", "op", "--output", str(path)]) == 2
    told = capsys.readouterr()
    assert "check: BROKEN: float32, apart" in told.out
    assert "the contract does not hold on this card, so nothing is measured: float32, apart" in told.err
    assert not json.loads(path.read_text())["rows"]
    # Mended, what held is not checked again.
    checked = []
    monkeypatch.setattr(contract, "error", lambda call, dtype, device: checked.append(call.kind) or 0.0)
    assert command.main(["--part", "check", "--output", str(path)]) == 0
    assert set(checked) == {"apart"}


def test_a_kernel_that_fails_is_broken(monkeypatch):
    def fails(call, dtype, device):
        raise RuntimeError("does not compile")

    monkeypatch.setattr(contract, "error", fails)
    held = command._Held()
    assert "BROKEN: float32, shared" in next(parts.check(held, parts.Effort(1), device="cpu"))
    assert len(parts.broken(held, "cpu")) == len(list(contract.calls(10)))


def test_what_was_not_checked_does_not_hold(monkeypatch):
    monkeypatch.setattr(contract, "error", lambda call, dtype, device: 0.0)
    held = command._Held()
    checking = parts.check(held, parts.Effort(1))
    next(checking)
    left = len(contract.BOUNDS) * len(list(contract.calls(10))) - 1
    assert len(parts.broken(held)) == left
    assert len(list(checking)) == left
    assert not parts.broken(held)


def test_a_search_that_fails_leaves_the_default(monkeypatch, tmp_path):
    from reformer.ops.window_attention import triton_tiles as tiling

    def fails(kernel, query, window, seconds):
        raise RuntimeError("no")

    monkeypatch.setattr(tiling, "tune", fails)
    monkeypatch.setattr(torch, "set_default_device", lambda device: None)
    monkeypatch.setattr(parts, "TUNED_LENGTH", 64)
    file = CardFile(tmp_path / "gpu.json", CARD)
    lines = list(parts.tune(file, parts.Effort(1)))
    assert lines[0] == "tune: forward: FAILED, the default stays: RuntimeError"
    assert [record["kernel"] for record in file.result["tune"]] == ["forward", "backward_queries", "backward_keys"]


@runs
def test_the_contract_holds_for_triton():
    call = contract.Call("shared", 30, heads=1, head_dim=16, padding=True, transform="sinh", options={"window": 9})
    assert contract.error(call, torch.float32, "cpu") < 1e-5


def test_a_stream_is_left_and_taken_up_again(tmp_path):
    path = tmp_path / "gpu.json"
    how = {"device": "cpu", "tokens": 2500, "piece": 1000, "state": tmp_path / "state.safetensors"}
    file = CardFile(path, CARD)

    class Twice:
        """Over after two pieces."""

        asked = 0

        @property
        def over(self):
            self.asked += 1
            return self.asked > 2

    assert "2,000 of 2,500" in next(parts.stream(file, Twice(), **how))
    again = CardFile(path, CARD)
    assert "2,500 of 2,500" in next(parts.stream(again, parts.Effort(1), **how))
    assert again.result["stream"][0]["calls"] == 2
    assert list(parts.stream(again, parts.Effort(1), **how)) == []
    assert "2,500 read in" in tables.gpu(again.result)


def test_a_process_measures_and_one_that_takes_too_long_is_ended():
    guard = Guard("full attention, flash", "cpu", limit=100)
    try:
        found = guard.measure(64, "forward")
        assert found["median_seconds"] > 0
        assert "error" in guard.measure(64, "no such action")
    finally:
        guard.close()
    late = Guard("full attention, flash", "cpu", limit=0.01)
    assert late.measure(64, "forward") == {"error": f"{LIMIT} of 0 seconds"}
    assert late.process is None


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_the_block_mask_holds_every_pair_of_the_window():
    length = 3 * contenders.BLOCK
    place = torch.arange(length)
    near = contenders._near(place, place, place[:, None], place[None])
    blocks = near.view(3, contenders.BLOCK, 3, contenders.BLOCK).any(3).any(1)
    assert torch.equal(contenders.block_mask(length).to_dense()[0, 0].bool(), blocks)
    query, value = torch.randn(2, 1, 1, length, 64).unbind()
    flex = contenders._flex_window(length)(query, value)
    assert (flex - contenders._our_window("reference", length)(query, value)).abs().max() < 1e-5


LIMITS = {"bytes_a_second": 1e12, "operations_a_second": 1e14}


def test_tables_compare_with_the_best_of_torch():
    def row(contender, family, seconds, **more):
        common = {"length": 4096, "action": "forward", "peak_bytes": 1, "facts": {}, "dtype": "bfloat16"}
        return {"contender": contender, "family": family, "median_seconds": seconds, **common, **more}

    result = {
        "machine": CARD, "check": [], "contracts": {}, "train": [], "stream": [], "limits": LIMITS,
        "rows": [
            row("ours", "ours", 1e-4, rounds=1),
            row("full attention, flash", "full", 4e-4),
            row("full attention, cuDNN", "full", 2e-4),
        ],
    }  # fmt: skip
    text = tables.gpu(result)
    assert "| full attention, best / ours | 2.00x |" in text
    assert "flash / ours" not in text
    # 3,200 bytes a token, 4,096 of them in 0.1 ms, are 131 GB a second.
    assert "| ours, forward, 4k | 13% | 26% | 11% |" in text


def test_the_count_is_the_sum_of_its_rounds():
    shape = counting.Shape()
    one, two = (counting.attention(shape, rounds, with_backward=False) for rounds in (1, 2))
    assert (one.operations, one.once, one.asked) == (262144, 3200, 6400)
    assert two.operations == 2 * one.operations
    assert two.once > 2 * one.once
    wide = counting.attention(counting.Shape(window=128), 1, with_backward=False)
    assert wide.operations == one.operations * 3 // 2


@pytest.fixture
def tally(monkeypatch):
    """What kernels load, store and multiply in the interpreter, in bytes and operations."""
    from triton.runtime.interpreter import interpreter_builder

    found = {"bytes": 0, "operations": 0}
    builder = type(interpreter_builder)
    load, store, dot = builder.create_masked_load, builder.create_masked_store, builder.create_dot

    def moved(pointers, mask):
        found["bytes"] += int(mask.data.sum()) * pointers.get_element_ty().primitive_bitwidth // 8

    def loading(self, pointers, mask, *rest):
        moved(pointers, mask)
        return load(self, pointers, mask, *rest)

    def storing(self, pointers, value, mask, *rest):
        moved(pointers, mask)
        return store(self, pointers, value, mask, *rest)

    def multiplying(self, left, right, *rest):
        found["operations"] += 2 * left.data.size * right.data.shape[1]
        return dot(self, left, right, *rest)

    monkeypatch.setattr(builder, "create_masked_load", loading)
    monkeypatch.setattr(builder, "create_masked_store", storing)
    monkeypatch.setattr(builder, "create_dot", multiplying)
    return found


@runs
@pytest.mark.parametrize("rounds", [1, 2])
def test_triton_asks_for_what_is_counted(tally, rounds):
    from importlib import import_module

    backend = import_module("reformer.ops.window_attention.triton")
    found = []
    for length in (192, 256):
        query, value = torch.randn(2, 1, 1, length, 64).bfloat16().unbind()
        slots = position_slots(torch.ones(1, length, dtype=torch.bool)).repeat(1, 1, rounds, 1)
        arranged = backend._arrange(slots, None, [64] * rounds, True, False)
        given = (query, None, value, *arranged, [64] * rounds, True, False, True, 1.0, "tf32x3")
        tally |= dict.fromkeys(tally, 0)
        output, log_sum = backend._forward(*given)
        ahead = dict(tally)
        backend._backward(torch.randn_like(output), output, log_sum, *given)
        found.append((ahead, dict(tally)))
    for with_backward in (False, True):
        # Between tiles that have everything before them; the first ones of a sequence have not.
        once, more = (each[with_backward] for each in found)
        counted = counting.attention(counting.Shape(heads=1), rounds, with_backward)
        assert more["operations"] - once["operations"] == 64 * counted.operations
        # Two blocks of keys are 128, and the window of a tile ends after 127.
        assert (more["bytes"] - once["bytes"]) / 64 == pytest.approx(counted.asked, rel=0.01)
