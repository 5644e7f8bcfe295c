"""Properties of the `triton` backend alone; those of all backends are in `test_dispatch`."""

import subprocess
import sys

import pytest
import torch

from reformer.ops import gpu, position_slots, window_attention
from reformer.ops.window_attention import REFUSALS

from ..cases import Case, far_apart, vectors

triton = pytest.importorskip("reformer.ops.window_attention.triton")

REFUSED = gpu.why_unsupported(torch.empty(0))

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
    monkeypatch.setattr(triton, "_arrange", lambda *given: ())
    monkeypatch.setattr(triton, "_forward", lambda *given: asked.append(given[-3]) or given[:1])
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


def test_where_no_kernel_runs_the_error_says_why(monkeypatch):
    monkeypatch.setattr(gpu, "why_unavailable", lambda: "there is none")
    with pytest.raises(ValueError, match="backend='triton' cannot serve this call: there is none"):
        Case(*[vectors(1, 1, 2, 4)] * 3, torch.arange(2)[None, None, None], None, {"window": 1}).run("triton")
