"""The `cpu` backend alone: every compiled variant, and the operators in graphs; all backends are in `test_dispatch`."""

import subprocess
import sys

import pytest
import torch

from reformer.ops import hash_slots, native, random_rotations, shared_window_attention, window_attention

from ..cases import far_apart

pytest.importorskip("reformer.ops.window_attention.cpu")
pytestmark = pytest.mark.skipif(native.LIBRARY is None, reason=native.VARIANT)

COMPILED = """
import torch
from reformer.ops import (
    Polynomial, hash_query_slots, hash_slots, position_slots, random_rotations, shared_window_attention,
    window_attention,
)

rotations = random_rotations(2, 2, 16, 8)
mask = torch.arange(50)[None] < 40

def shared(query, value):
    slots = torch.cat((hash_slots(query, rotations, mask), position_slots(mask).expand(1, 2, 1, 50)), 2)
    return window_attention(query, query, value, slots, window=7, causal=True, attend_self=False, backend="cpu")

def of_unit_length(query, value):
    return shared_window_attention(query, value, hash_slots(query, rotations, mask), window=7, causal=True)

def separate(query, key, value):
    query_slots = hash_query_slots(query, key, rotations, mask, causal=True)
    return window_attention(query, key, value, query_slots, hash_slots(key, rotations, mask), window=7, causal=True)

def transformed(query, key, value):
    slots, learned = position_slots(mask), Polynomial(query[0, :, :3, 0])
    return window_attention(query, key, value, slots, window=7, causal=True, transform=learned)

for function, count in ((shared, 2), (of_unit_length, 2), (separate, 3), (transformed, 3)):
    inputs = [torch.randn(1, 2, 50, 16, requires_grad=True) for _ in range(count)]
    plain = function(*inputs)
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")(*inputs)
    assert torch.equal(plain, compiled)
    weights = torch.randn_like(plain)
    for a, b in zip(*(torch.autograd.grad(output, inputs, weights) for output in (plain, compiled))):
        assert torch.equal(a, b)
"""

BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 6e-2}


def test_the_whole_graph_is_traced():
    # In a process of its own: the checks of annotated shapes, which run in tests alone, break the graph.
    command = [sys.executable, "-W", "error", "-W", "ignore:Guards may run slower:RuntimeWarning", "-c", COMPILED]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("variant")
@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize("head_dim", [3, 16, 64, 80])
def test_every_variant_equals_the_definition(dtype, head_dim):
    x = torch.randn(1, 2, 150, head_dim, dtype=torch.float64).to(dtype)
    slots = hash_slots(x, random_rotations(2, 3, head_dim, 6))
    for attention, count in ((window_attention, 3), (shared_window_attention, 2)):
        found = []
        for backend, kind in (("cpu", dtype), ("reference", torch.float64)):
            vectors = [x.to(kind, copy=True).requires_grad_() for _ in range(count)]
            output = attention(*vectors, slots, window=20, attend_self=False, backend=backend)
            found.append((output.detach(), *torch.autograd.grad(output.sum(), vectors)))
        assert far_apart(*found) < BOUNDS[dtype]


def test_operators_are_registered_as_torch_expects():
    query, key, value = (torch.randn(1, 20, 2, 8).transpose(1, 2).requires_grad_() for _ in range(3))
    rotations = random_rotations(2, 2, 8, 4)
    slots = hash_slots(query, rotations)
    plain = ([5, 5], True, False, True, 0.3)
    learned = torch.full((2, 3), 0.1, requires_grad=True)
    forward = torch.ops.reformer.window_attention_cpu.default
    backward = torch.ops.reformer.window_attention_cpu_backward.default
    calls = ((key, slots, plain), (key, None, plain), (None, None, plain), (key, slots, (*plain, learned, 1)))
    for keys, key_slots, options in calls:
        torch.library.opcheck(forward, (query, keys, value, slots, key_slots, *options))
        given = (query, keys, value, slots, key_slots, *options)
        given = [each.detach() if isinstance(each, torch.Tensor) else each for each in given]
        output, log_sum = forward(*given)
        torch.library.opcheck(backward, (torch.randn_like(output), output, log_sum, *given))
