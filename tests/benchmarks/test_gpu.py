"""The cases of a GPU, on a machine without one: the contract, the tilings, the counts and the tables."""

import pytest
import torch

from benchmarks.case import ContractError
from benchmarks.contenders.ours import Hashed
from benchmarks.gpu import contenders, contract, counting, preparation, tables
from benchmarks.registry import CASES
from reformer.ops import gpu, position_slots
from reformer.ops.window_attention import triton_tiles

REASON = gpu.why_unsupported(torch.empty(0))
runs = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def test_only_what_can_be_captured_is_measured_in_a_graph():
    case = CASES["gpu-attention"]
    captured = {each.name for each in case.contenders if each.reaches(4096, contenders.GRAPH)}
    assert {"ours", "ours, 4 rounds", "full attention, flash"} <= captured
    assert not {"FlexAttention, local window", "transformers", "reformer-pytorch, 4 rounds"} & captured
    assert {"transformers", "FlexAttention, local window"} <= {each.name for each in case.contenders}


def test_a_broken_contract_names_each_call(monkeypatch):
    def error(call, dtype, device):
        if call.transform is not None:
            raise RuntimeError("does not compile")
        return float("nan") if call.kind == "apart" else 0.0

    monkeypatch.setattr(contract, "error", error)
    with pytest.raises(ContractError) as raised:
        preparation._check(torch.float32)
    told = str(raised.value)
    assert told.count("RuntimeError: does not compile") == 2
    assert "apart, " in told
    assert ": nan" in told
    monkeypatch.setattr(contract, "error", lambda call, dtype, device: 1e-6)
    assert preparation._check(torch.float32).startswith("1.0e-06 from the reference at most")


def test_a_tiling_is_chosen_by_what_was_measured(monkeypatch):
    def tune(kernel, query, window, seconds):
        assert seconds() > 0
        return triton_tiles.default(kernel, query, window)

    monkeypatch.setattr(triton_tiles, "tune", tune)
    facts = preparation._tune(Hashed(64, 1, 1, "eager", torch.float32), "backward_keys")
    [tried] = facts["tried"]
    assert tried.pop("seconds") > 0
    assert tried == facts["chosen"]


@runs
def test_the_contract_holds_for_triton():
    call = contract.Call("shared", 30, heads=1, head_dim=16, padding=True, transform="sinh", options={"window": 9})
    assert contract.error(call, torch.float32, "cpu") < 1e-5


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_the_block_mask_holds_every_pair_of_the_window():
    length = 3 * contenders.BLOCK
    place = torch.arange(length)
    near = contenders.near(place, place, place[:, None], place[None])
    blocks = near.view(3, contenders.BLOCK, 3, contenders.BLOCK).any(3).any(1)
    assert torch.equal(contenders.block_mask(length).to_dense()[0, 0].bool(), blocks)
    query, value = torch.randn(2, 1, 1, length, 64).unbind()
    flex = contenders.flex_window(length)(query, value)
    assert (flex - contenders.our_window("reference", length)(query, value)).abs().max() < 1e-5


def test_tables_compare_with_the_best_of_torch():
    def row(contender, family, seconds, action="forward", facts=None, **more):
        common = {"length": 4096, "action": action, "peak_bytes": 1, "dtype": "bfloat16", "warm": True, "turns": 3}
        return (
            {"contender": contender, "family": family, "median_seconds": seconds, "facts": facts or {}} | common | more
        )

    rows = [
        row("ours", "ours", 1e-4, rounds=1),
        row("full attention, flash", "full", 4e-4),
        row("full attention, cuDNN", "full", 2e-4),
        row("torch.mm bfloat16", "machine", 1.0, "product", {"flops": 1e14}),
        row("torch copy", "machine", 1.0, "copy", {"bytes": 1e12}),
        {"contender": "transformers", "length": 4096, "action": "forward", "error": "out of memory"},
    ]
    names = [row["contender"] for row in rows]
    text = tables.gpu_attention(
        {"rows": rows, "contracts": dict.fromkeys(names, "seen"), "actions": ["forward", "product", "copy"]}
    )
    assert "| full attention, best / ours | 2.00x |" in text
    assert "flash / ours" not in text
    # 3,200 bytes a token, 4,096 of them in 0.1 ms, are 131 GB a second.
    assert "| ours, forward, 4k | 13% | 26% | 11% |" in text
    assert "- transformers at 4k, forward: out of memory" in text


def test_the_speed_of_a_stream_is_that_of_all_its_calls():
    facts = {"reading_seconds": 50.0, "state_bytes": 7, "tokens": 1000}
    row = {"contender": "ours", "length": 1000, "action": "read", "median_seconds": 9.0, "facts": facts}
    text = tables.gpu_streaming({"rows": [row], "actions": ["read"], "contracts": {"ours": "seen"}})
    assert text == "1,000 tokens read in 50.0 s, 20 a second, with a state of 7 bytes."


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
