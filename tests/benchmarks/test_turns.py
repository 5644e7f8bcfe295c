"""Actions are timed without their preparation, contracts are kept, and memory is that of the contender."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from benchmarks import memory, worker
from benchmarks.case import Action, Contender, ContractError
from benchmarks.contenders.ours import ours, products
from benchmarks.contenders.vectors import finite_and_causal, random_leaves
from benchmarks.registry import CASES
from benchmarks.turns import Effort, Workshop, _Worker
from benchmarks.worker import LIMIT, Session, Settings, take_turn
from reformer.ops import hash_slots, random_rotations
from reformer.ops.window_attention.reference import times_seen


def test_a_turn_repeats_its_action_and_leaves_out_the_preparation():
    def prepare():
        time.sleep(0.03)
        return "given"

    seen = []

    def run(given):
        seen.append(given)
        return {"calls": len(seen)}

    turn = take_turn(Action(run, prepare, {"known": 1}), at_least=0.1)
    assert 2 <= len(turn.seconds) == len(turn.cpu_seconds) <= 5
    assert max(turn.seconds) < 0.03
    assert seen[0] == "given"
    assert turn.facts == {"known": 1, "calls": len(seen)}


def test_an_action_that_takes_long_is_called_once():
    turn = take_turn(Action(lambda _: time.sleep(0.02)), at_least=0.01)
    assert len(turn.seconds) == 1
    assert turn.seconds[0] >= 0.02


@pytest.mark.parametrize("rounds", [1, 2])
def test_products_are_counted_as_the_pairs_say(rounds):
    query = torch.randn(1, 2, 256, 64)
    slots = hash_slots(query, random_rotations(2, rounds, 64, 4))
    counted = products(slots)
    blocks = pairs = 0
    for ordering in range(rounds):
        row = slots[:, :, ordering : ordering + 1]
        seen, itself = times_seen(row, row, (64,), True)
        others = (seen > 0) & ~itself
        pairs += int(others.sum() + (~others.any(-1)).sum())
        sorted_row = row.sort(-1).values
        in_order = times_seen(sorted_row, sorted_row, (64,), True)[0]
        blocks += int(in_order.unflatten(2, (4, 64)).unflatten(4, (4, 64)).any(5).any(3).sum())
    assert counted == {"flops": blocks * 4 * 64**3, "pair_flops": pairs * 4 * 64}


def test_a_core_that_sees_the_future_breaks_the_contract():
    leaves = random_leaves(1, 8, 4)

    def average(query_key, value):
        return query_key + value.mean(1, keepdim=True)

    with pytest.raises(ContractError, match="an edit from token 4 on changed 4 of the 4 outputs before it"):
        finite_and_causal(average, leaves, must_be_causal=True)
    assert "changed 4 of 4" in finite_and_causal(average, leaves, must_be_causal=False)


def test_a_core_without_numbers_breaks_the_contract():
    leaves = random_leaves(1, 8, 4)
    with pytest.raises(ContractError, match="not finite"):
        finite_and_causal(lambda a, b: a / 0 + b, leaves, must_be_causal=False)


def test_a_contender_that_differs_from_the_reference_is_refused(monkeypatch):
    contender = ours("ours", rounds=1, heads=1, backend="eager" if not _compiled() else "cpu")
    assert "from the reference" in contender.check()
    monkeypatch.setattr("benchmarks.contenders.ours.TOLERANCE", {torch.float32: 0.0})
    with pytest.raises(ContractError, match=r"at most 0e\+00 is allowed"):
        contender.check()


def _compiled():
    from reformer.ops import native

    return native.LIBRARY is not None


@pytest.mark.skipif(memory.peak() is None, reason="the system does not tell")
def test_the_peak_of_memory_is_forgotten_on_demand():
    memory.forget_peak()
    before = memory.peak()
    block = bytearray(64 << 20)
    block[:: 1 << 12] = b"x" * len(block[:: 1 << 12])
    assert memory.peak() - before >= 60 << 20
    del block
    memory.forget_peak()
    assert memory.peak() - before < 32 << 20


@pytest.fixture
def workshop():
    return Workshop(Settings(threads=1))


def test_contenders_take_turns_in_processes_of_their_own(workshop):
    case = CASES["crossover"]
    names = ["full attention", "ours, 2 rounds"][: 1 + _compiled()]
    kept, seen = workshop.check(case, case.contender(names[0]), Effort())
    assert kept
    assert "changed 0 of 256" in seen
    wanted = {name: list(case.actions) for name in names}
    rows = list(workshop.measure(case, wanted, 128, Effort(turns=2, seconds=1)))
    assert {(row.contender.name, row.action) for row in rows} == {
        (name, action) for name in names for action in case.actions
    }
    for row in rows:
        record = row.record()
        assert row.error is None
        assert record["warm"]
        assert record["median_seconds"] > 0
        assert record["cpu_seconds"] > 0
        if memory.peak() is not None:
            assert 0 <= record["peak_bytes"] < 1 << 30


def test_a_failure_is_recorded_for_every_action(workshop):
    case = CASES["crossover"]
    # No tensor has a length of -1.
    rows = list(workshop.measure(case, {"full attention": list(case.actions)}, -1))
    assert [row.action for row in rows] == list(case.actions)
    assert all("Traceback" in row.record()["error"] for row in rows)


def test_an_action_that_a_contender_has_not_is_left_out(workshop):
    case = CASES["hashing"]
    wanted = {name: ["order", "product"] for name in ("ours in plain PyTorch", "torch.bmm float32, 16 tiles")}
    rows = list(workshop.measure(case, wanted, 128, Effort(turns=1, seconds=1)))
    assert [(row.contender.family, row.action, row.error) for row in rows] == [
        ("eager", "order", None),
        ("machine", "product", None),
    ]


def test_a_contender_that_takes_too_long_is_ended(workshop):
    rows = list(workshop.measure(CASES["crossover"], {"full attention": ["forward"]}, 128, Effort(limit=0.01)))
    assert [row.error for row in rows] == [f"{LIMIT} of 0.01 seconds"]


def test_plain_pytorch_has_an_environment_without_kernels(workshop):
    case = CASES["eager"]
    plain, other = case.contenders
    assert plain.environment == {"REFORMER_CPU_VARIANT": "none"}
    assert not other.environment
    # A variant that there is none of is refused when the kernels are loaded, so the process has seen it.
    wrong = replace(plain, environment={"REFORMER_CPU_VARIANT": "no such variant"})
    for contender, kept in ((plain, True), (wrong, False)):
        found, seen = workshop.check(case, contender, Effort())
        assert found == kept, seen
    assert "the process ended with status 1" in seen
    assert "REFORMER_CPU_VARIANT" not in os.environ


def test_what_every_process_is_a_copy_of_has_not_touched_a_gpu():
    """CUDA cannot be used in a copy of a process that has used it, and asking whether there is a GPU is a use."""
    pytest.importorskip("reformer_pytorch")
    asked = """
import importlib, torch
def used(*_):
    raise AssertionError("CUDA was used while importing")
torch.cuda._lazy_init = torch.cuda.is_available = torch.cuda.device_count = used
from benchmarks.turns import PRELOADED
for name in PRELOADED:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_on_a_device_a_block_of_calls_is_waited_for_once(monkeypatch):
    waited, called = [], []
    # A clock that only calls move: on a busy machine the first of them may take as long as three.
    clock = SimpleNamespace(perf_counter=lambda: 0.002 * len(called), process_time=lambda: 0.0)
    monkeypatch.setattr(worker, "time", clock)
    monkeypatch.setattr(memory, "device", lambda: True)
    monkeypatch.setattr(memory, "wait", lambda: waited.append(1))
    turn = take_turn(Action(lambda _: called.append(1)), at_least=0.05)
    # One call alone says how many make a block; it does not count.
    assert turn.calls == len(called) - 1 == 25
    assert turn.seconds == pytest.approx([0.002])
    assert len(waited) == 4


def test_on_a_device_the_first_call_of_an_action_is_not_timed(monkeypatch):
    calls = []
    contender = Contender("ours", "ours", lambda length: {"forward": Action(calls.append)}, str)
    monkeypatch.setattr("benchmarks.worker.take_turn", lambda action, at_least=0: calls.append("turn"))
    for device, warm_up, expected in (
        (True, 128, [None, "turn", "turn"]),
        (True, None, ["turn", "turn"]),
        (False, 128, ["turn", "turn", "turn"]),
    ):
        calls.clear()
        monkeypatch.setattr(memory, "device", lambda device=device: device)
        for name in ("forget_peak", "resident"):
            monkeypatch.setattr(memory, name, lambda: None)
        session = Session(contender)
        session.build(256, warm_up)
        session.turn("forward")
        session.turn("forward")
        assert calls == expected


def test_an_action_that_fails_leaves_the_others(workshop):
    case = CASES["hashing"]
    name = "ours in plain PyTorch"
    # Of two actions, the one that is not there fails alone.
    each = _Worker(workshop, case, case.contender(name), Effort())
    try:
        assert each.ask("build", 128, None)[0]
        well, told = each.ask("turn", "no such action")
        assert not well
        assert "KeyError" in told
        assert each.ask("turn", "order")[0]
    finally:
        each.close()


@pytest.mark.skipif(memory.peak() is None, reason="the system does not tell")
def test_nothing_of_the_warm_up_hides_what_a_contender_needs():
    def build(length):
        held = torch.ones(16 << 20)
        return {"forward": Action(lambda _: (held.add_(1), None)[1])}

    session = Session(Contender("heavy", "ours", build, str))
    session.build(128, warm_up=128)
    session.forget_peak()
    session.turn("forward")
    assert 60 << 20 <= session.growth() < 100 << 20
