"""What is the `triton` backend's own; what all backends must do stands in `test_window_attention`."""

import json
import subprocess
import sys
from importlib import import_module

import pytest
import torch

from reformer.errors import ReformerError
from reformer.ops import backend_status, gpu, position_slots, window_attention
from reformer.ops.window_attention import REFUSALS
from reformer.ops.window_attention import triton_rows as arrangement
from reformer.ops.window_attention import triton_tiles as tiling

from .cases import Case, far_apart, vectors

backend = import_module("reformer.ops.window_attention.triton")

REFUSED = gpu.refusal(torch.empty(0))

runs = pytest.mark.skipif(REFUSED is not None, reason=str(REFUSED))

COMPILED = """
import torch
from reformer.ops import gpu, hash_query_slots, hash_slots, random_rotations, shared_window_attention, window_attention

gpu.DEVICES = ("cuda", "cpu")
rotations = random_rotations(1, 1, 16, 4)

def shared(query, value):
    return shared_window_attention(query, value, hash_slots(query, rotations), window=7, causal=True)

def separate(query, key, value):
    query_slots = hash_query_slots(query, key, rotations, causal=True)
    return window_attention(query, key, value, query_slots, hash_slots(key, rotations), window=7, causal=True)

for function, count in ((shared, 2), (separate, 3)):
    inputs = [torch.randn(1, 1, 20, 16, requires_grad=True) for _ in range(count)]
    plain = function(*inputs)
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")(*inputs)
    assert "Triton" in type(plain.grad_fn).__name__ or "triton" in type(plain.grad_fn).__name__, plain.grad_fn
    assert torch.equal(plain, compiled)
    weights = torch.randn_like(plain)
    for a, b in zip(*(torch.autograd.grad(output, inputs, weights) for output in (plain, compiled))):
        assert torch.equal(a, b)
"""


@runs
def test_a_compiled_graph_is_whole():
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@runs
def test_half_precision():
    x = vectors(1, 1, 40, 16).half().double()
    case = Case(x, x, x, position_slots(torch.ones(1, 40, dtype=torch.bool)), None, {"window": 9})
    assert far_apart(case.to(torch.float16).run("triton"), case.run("reference")) < 1e-2


def test_products_of_float32_keep_their_digits_unless_asked_otherwise(monkeypatch):
    asked, before = [], torch.backends.cuda.matmul.fp32_precision
    monkeypatch.setattr(backend, "_arrange", lambda *given: ())
    monkeypatch.setattr(backend, "_forward", lambda *given: asked.append(given[-3]) or given[:1])
    monkeypatch.setitem(REFUSALS, "triton", lambda query, key: None)
    x, slots = torch.randn(1, 1, 4, 8), torch.arange(4)[None, None, None]
    function = getattr(window_attention, "__wrapped__", window_attention)
    try:
        for precision in ("ieee", "tf32", "ieee"):
            torch.backends.cuda.matmul.fp32_precision = precision
            function(x, x, x, slots, window=2, backend="triton")
    finally:
        torch.backends.cuda.matmul.fp32_precision = before
    assert asked == ["tf32x3", "tf32", "tf32x3"]


@runs
@pytest.mark.parametrize("slots", [[3, 0, 2, 1], [7, 1 << 41, -1, 8], [5 << 55, 3, (5 << 55) + 1, -1]])
def test_any_slots_are_sorted_dense_or_not(slots):
    slots = torch.tensor(slots)[None, None, None]
    order, in_order, present = arrangement._sorted(slots)
    expected = slots.masked_fill(slots < 0, 2**63 - 1).sort(-1)
    assert torch.equal(in_order, expected.values)
    assert torch.equal(order.long(), expected.indices)
    assert present.item() == (slots >= 0).sum()


@runs
def test_a_window_over_several_buckets():
    x = vectors(1, 1, 30, 8)
    slots = (torch.randperm(30) * (1 << 39))[None, None, None]
    for causal in (True, False):
        case = Case(x, x, x, slots, None, {"window": 1 << 41, "causal": causal})
        assert far_apart(case.run("triton"), case.run("reference")) < 1e-12


@runs
def test_equal_runs_give_equal_bits():
    x = vectors(1, 1, 150, 8).float()
    slots = torch.cat([torch.randperm(150)[None, None, None] for _ in range(2)], 2)
    case = Case(x, x, x, slots, None, {"window": 40})
    assert all(torch.equal(a, b) for a, b in zip(case.run("triton"), case.run("triton"), strict=True))


@runs
def test_a_call_on_the_processor_takes_it_only_by_name(monkeypatch):
    x = vectors(1, 1, 3, 4).requires_grad_()
    slots = position_slots(torch.ones(1, 3, dtype=torch.bool))
    assert "triton" not in type(window_attention(x, x, x, slots, window=2).grad_fn).__name__
    monkeypatch.setattr(gpu, "DEVICES", ("cpu",))
    assert "triton" in type(window_attention(x, x, x, slots, window=2).grad_fn).__name__


@runs
def test_what_does_not_fit_is_refused_with_the_reason():
    wide = torch.empty(1, 1, 2, 257)
    assert REFUSALS["triton"](wide, wide) == "head_dim is 257, the kernels take at most 256"
    odd = torch.empty(1, 1, 2, 4, dtype=torch.float8_e5m2)
    assert "the dtype is torch.float8_e5m2" in str(REFUSALS["triton"](odd, odd))


def test_the_status_says_why_not(monkeypatch):
    monkeypatch.setattr(gpu, "unavailable", lambda: "there is none")
    assert backend_status()["triton"] == "not available: there is none"
    assert gpu.refusal(torch.empty(1)) == "there is none"
    with pytest.raises(ValueError, match="backend='triton' cannot serve this call: there is none"):
        Case(*[vectors(1, 1, 2, 4)] * 3, torch.arange(2)[None, None, None], None, {"window": 1}).run("triton")


def test_without_a_gpu_the_reason_is_told(monkeypatch):
    monkeypatch.setattr(gpu, "INTERPRETED", False)
    monkeypatch.setattr(gpu, "MISSING", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "torch sees no GPU" in str(gpu.unavailable())
    monkeypatch.setattr(gpu, "MISSING", "triton is not installed")
    assert gpu.unavailable() == "triton is not installed"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("head_dim", [1, 16, 80, 256])
def test_candidates_begin_with_the_default_and_are_few(dtype, head_dim):
    query = torch.empty(1, 1, 1, head_dim, dtype=dtype)
    for kernel in ("forward", "backward_queries", "backward_keys"):
        found = tiling.candidates(kernel, query, 64)
        assert found[0] == tiling.tiling(kernel, query, 64)
        assert len(found) <= 16
        assert len(set(found)) == len(found)


@pytest.fixture
def tiles(tmp_path, monkeypatch):
    monkeypatch.setenv(tiling.FILE, str(tmp_path / "tiles.json"))
    tiling._measured.cache_clear()
    yield tmp_path / "tiles.json"
    tiling._measured.cache_clear()


def test_the_fastest_tiling_is_kept(tiles):
    query = torch.empty(1, 1, 1, 64)
    asked = []

    def seconds():
        asked.append(tiling.tiling("forward", query, 64))
        if len(asked) == 2:
            raise type("OutOfResources", (Exception,), {})
        return 1.0 if len(asked) == 4 else 2.0

    best = tiling.tune("forward", query, 64, seconds)
    assert asked == tiling.candidates("forward", query, 64)
    assert best == asked[3]
    tiling._measured.cache_clear()
    assert tiling.tiling("forward", query, 64) == best
    assert tiling.tiling("forward", query, 256) == tiling.default("forward", query, 256)


def test_a_file_of_tilings_that_cannot_be_read_is_named(tiles):
    tiles.write_text(json.dumps({tiling._card(): {"forward": {"tile": 1}}}))
    with pytest.raises(ReformerError, match=r"REFORMER_TRITON_TILES=.*tiles.json: expected the JSON"):
        tiling.tiling("forward", torch.empty(1, 1, 1, 64), 64)
