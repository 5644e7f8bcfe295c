"""Actions are timed without their preparation, contracts are kept, and memory is that of the contender."""

import time

import pytest
import torch

from benchmarks import memory
from benchmarks.case import Action, Contender, ContractError
from benchmarks.contenders.ours import ours, products
from benchmarks.contenders.vectors import finite_and_causal, random_leaves
from benchmarks.registry import CASES
from benchmarks.turns import Effort, Workshop
from benchmarks.worker import _Session, take_turn
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
        finite_and_causal(average, leaves, 1, must_be_causal=True)
    assert "changed 4 of 4" in finite_and_causal(average, leaves, 1, must_be_causal=False)


def test_a_core_without_numbers_breaks_the_contract():
    leaves = random_leaves(1, 8, 4)
    with pytest.raises(ContractError, match="not finite"):
        finite_and_causal(lambda a, b: a / 0 + b, leaves, 1, must_be_causal=False)


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


def test_contenders_take_turns_in_processes_of_their_own():
    case = CASES["crossover"]
    workshop = Workshop(threads=1)
    contenders = [case.contender("full attention"), case.contender("ours, 2 rounds")]
    if not _compiled():
        contenders.pop()
    kept, seen = workshop.check(case, contenders[0])
    assert kept
    assert "changed 0 of 256" in seen
    rows = list(workshop.measure(case, contenders, 128, Effort(turns=2, seconds=1)))
    assert {(row.contender.name, row.action) for row in rows} == {
        (contender.name, action) for contender in contenders for action in case.actions
    }
    for row in rows:
        record = row.record()
        assert row.error is None
        assert record["warm"]
        assert record["median_seconds"] > 0
        assert record["cpu_seconds"] > 0
        if memory.peak() is not None:
            assert 0 <= record["peak_bytes"] < 1 << 30


def test_a_failure_is_recorded_and_the_others_go_on():
    case = CASES["crossover"]
    # No tensor has a length of -1.
    contenders = [case.contender("full attention")]
    rows = list(Workshop(threads=1).measure(case, contenders, -1, Effort(turns=1, seconds=1)))
    assert [row.action for row in rows] == ["build"]
    assert "Traceback" in rows[0].error
    assert "error" in rows[0].record()


@pytest.mark.skipif(memory.peak() is None, reason="the system does not tell")
def test_nothing_of_the_warm_up_hides_what_a_contender_needs():
    def build(length):
        held = torch.ones(16 << 20)
        return {"forward": Action(lambda _: (held.add_(1), None)[1])}

    session = _Session(Contender("heavy", "ours", build, str), 128, warm_up=128)
    session.forget_peak()
    session.turn("forward")
    assert 60 << 20 <= session.growth() < 100 << 20
