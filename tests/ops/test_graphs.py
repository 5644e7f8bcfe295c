"""The triton backend in graphs: the host never waits for the card, and no shape depends on the values of tensors."""

from unittest import mock

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from reformer.ops import (
    Polynomial,
    gpu,
    hash_query_slots,
    hash_slots,
    position_slots,
    random_rotations,
    shared_window_attention,
    window_attention,
)

hashing = pytest.importorskip("reformer.ops.orderings.triton")
triton = pytest.importorskip("reformer.ops.window_attention.triton")
triton_rows = pytest.importorskip("reformer.ops.window_attention.triton_rows")
REFUSED = gpu.why_unsupported(torch.empty(0))
runs = pytest.mark.skipif(REFUSED is not None, reason=str(REFUSED))
on_a_card = pytest.mark.skipif(
    gpu.INTERPRETED or gpu.why_unavailable() is not None,
    reason=f"there is no card for the kernels: {gpu.why_unavailable()}",
)


@pytest.fixture
def nothing_is_launched():
    """Kernels are called and do nothing, so that what stands around them runs on tensors without numbers."""
    from triton.runtime import interpreter, jit

    with (
        mock.patch.object(interpreter.GridExecutor, "__call__", return_value=None),
        mock.patch.object(jit.JITFunction, "run", return_value=None),
    ):
        yield


@runs
def test_triton_waits_for_nothing(nothing_is_launched):
    """Tensors without numbers end with an error where the host would ask for one."""
    with FakeTensorMode():
        with pytest.raises(DataDependentOutputException):
            torch.ones(1).cumsum(0).item()
        query, key, value = (torch.randn(2, 2, 90, 16) for _ in range(3))
        rotations, mask = random_rotations(2, 2, 16, [4, 4]), torch.ones(2, 90, dtype=torch.bool)
        buckets = hashing.hash_buckets._init_fn(query, list(rotations))
        slots = hashing.bucket_slots._init_fn(buckets, mask, 16)
        placed = hashing.bucket_query_slots._init_fn(buckets, buckets, mask, mask, 16, True, True)
        hashing.bucket_query_slots._init_fn(buckets, buckets, mask, mask, 16, False, False)
        learned = torch.ones(2, 3)
        for key_slots, first, keys, more in (
            (None, slots, None, (None, 0)),
            (slots, placed, key, (None, 0)),
            (slots, placed, key, (learned, Polynomial.number)),
        ):
            with_self_key = key_slots is not None
            arranged = triton_rows.arrange(first, key_slots, [7, 9], True, with_self_key)
            expected = triton_rows.fake_arrangement(first, key_slots, with_self_key)
            assert [(a.shape, a.dtype, a.stride()) for a in arranged] == [
                (b.shape, b.dtype, b.stride()) for b in expected
            ]
            given = (query, keys, value, *arranged, [7, 9], True, False, True, 1.0, "tf32x3", *more)
            output, log_sum = triton._forward._init_fn(*given)
            gradients = triton._backward._init_fn(torch.randn_like(output), output, log_sum, *given)
            like = [each for each in (query, keys, value, more[0]) if each is not None]
            assert [gradient.shape for gradient in gradients] == [each.shape for each in like]


def _steps(device):
    """Hash, order, attend and go back, with shared queries and with separate ones; no tensor is made by the host."""
    rotations = random_rotations(2, 2, 64, 8, device=device)
    place = position_slots(torch.ones(1, 500, dtype=torch.bool, device=device)).expand(1, 2, 1, 500)

    def shared(query, value):
        slots = torch.cat((hash_slots(query, rotations), place), 2)
        return shared_window_attention(query, value, slots, window=[9, 9, 30], causal=True, backend="triton")

    def separate(query, value):
        placed = hash_query_slots(query, value, rotations, causal=True)
        slots = hash_slots(value, rotations)
        return window_attention(query, value, value, placed, slots, window=9, causal=True, backend="triton")

    return shared, separate


def _with_gradients(function, query, value):
    output = function(query, value)
    return output.detach(), *torch.autograd.grad(output, (query, value), torch.ones_like(output))


def _inputs(seed):
    generator = torch.Generator("cuda").manual_seed(seed)
    return [torch.randn(1, 2, 500, 64, generator=generator, device="cuda", requires_grad=True) for _ in range(2)]


@on_a_card
@pytest.mark.parametrize("which", [0, 1])
def test_a_graph_is_captured_once_and_replayed_with_other_numbers(which):
    function = _steps("cuda")[which]
    query, value = _inputs(0)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        _with_gradients(function, query, value)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = _with_gradients(function, query, value)
    for seed in (1, 2):
        others = _inputs(seed)
        with torch.no_grad():
            query.copy_(others[0])
            value.copy_(others[1])
        graph.replay()
        for a, b in zip(found, _with_gradients(function, *others), strict=True):
            assert torch.equal(a, b)


@on_a_card
@pytest.mark.parametrize("which", [0, 1])
def test_a_graph_that_is_compiled_for_the_card_is_whole(which):
    function = _steps("cuda")[which]
    compiled = torch.compile(function, fullgraph=True)
    inputs = _inputs(3)
    for a, b in zip(_with_gradients(compiled, *inputs), _with_gradients(function, *inputs), strict=True):
        assert (a - b).abs().max() < 1e-4


@on_a_card
def test_nothing_waits_for_the_card():
    """The driver's own word on it: a wait for the card is an error."""
    inputs = _inputs(4)
    for function in _steps("cuda"):
        _with_gradients(function, *inputs)
        torch.cuda.set_sync_debug_mode("error")
        try:
            _with_gradients(function, *inputs)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@on_a_card
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_contract_of_the_card_holds(dtype):
    from benchmarks.gpu import contract

    kind = getattr(torch, dtype)
    for call in contract.calls(300):
        assert contract.error(call, kind, "cuda") < contract.BOUNDS[kind], str(call)
