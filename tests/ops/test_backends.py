"""Status of the backends, and the package without one of them."""

import subprocess
import sys

import pytest
import torch

from reformer.ops import backend_status, gpu, native
from reformer.ops.backends import _triton_status
from reformer.ops.self_check import SelfCheck
from reformer.ops.window_attention import BACKENDS

HIDDEN = """
import sys

for name in {hidden}:
    sys.modules["reformer.ops." + name] = None

from pathlib import Path

import torch
import reformer
from reformer.ops import (
    backend_status, bucket_query_slots, bucket_slots, hash_slots, random_rotations, shared_window_attention,
    window_attention,
)
from reformer.ops.window_attention import BACKENDS

folder = Path(reformer.__file__).parent / "ops/window_attention"
names = [name for name in ("triton", "cpu", "portable", "eager", "reference") if (folder / (name + ".py")).exists()]
names = [name for name in names if "window_attention." + name not in {hidden}]
assert list(BACKENDS) == list(backend_status()) == names, list(BACKENDS)
x, value = torch.randn(2, 1, 2, 40, 8, dtype=torch.float64).unbind()
slots = hash_slots(x, random_rotations(2, 2, 8, 4))
buckets = slots >> 40
assert torch.equal(bucket_slots(buckets), slots)
assert torch.equal(bucket_query_slots(buckets, buckets, causal=True), slots)
expected = shared_window_attention(x, value, slots, window=5, backend="reference")
assert (shared_window_attention(x, value, slots, window=5) - expected).abs().max() < 1e-12
half = x.half()
assert window_attention(half, half, half, slots, window=5).dtype == torch.float16
"""


FORKED = """
import os
import sys

import torch._dynamo

for number, code in enumerate({codes}):
    child = os.fork()
    if child == 0:
        sys.stderr.flush()
        exec(code, {{}})
        sys.stdout.flush()
        os._exit(0)
    print(number, os.waitpid(child, 0)[1], flush=True)
"""

WITHOUT = [
    ["window_attention.triton"],
    ["orderings.triton"],
    ["window_attention.triton", "orderings.triton"],
    ["window_attention.cpu"],
    ["orderings.cpu"],
    ["window_attention.cpu", "orderings.cpu", "window_attention.triton", "orderings.triton"],
    ["window_attention.eager"],
]


@pytest.fixture(scope="module")
def statuses():
    """How a process without each of these files ended: one has loaded PyTorch, and splits for each."""
    program = FORKED.format(codes=[HIDDEN.format(hidden=hidden) for hidden in WITHOUT])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return dict(map(int, line.split()) for line in done.stdout.splitlines()), done.stderr


@pytest.mark.parametrize("hidden", WITHOUT, ids=" ".join)
def test_without_a_backend_the_others_serve(statuses, hidden):
    status, errors = statuses
    assert status[WITHOUT.index(hidden)] == 0, errors[-3000:]


def test_every_backend_has_a_status():
    assert list(backend_status()) == list(BACKENDS)
    assert backend_status()["eager"] == "available"


@pytest.mark.skipif("cpu" not in BACKENDS, reason="there is no such backend")
def test_without_kernels_the_status_says_why(monkeypatch):
    monkeypatch.setattr(native, "LIBRARY", None)
    monkeypatch.setattr(native, "VARIANT", "no compiler was found")
    assert backend_status()["cpu"] == "not available: no compiler was found"


@pytest.mark.skipif("triton" not in BACKENDS, reason="there is no such backend")
def test_without_a_gpu_the_status_says_why(monkeypatch):
    monkeypatch.setattr(gpu, "why_unavailable", lambda: "there is none")
    assert backend_status()["triton"] == "not available: there is none"


@pytest.mark.parametrize(
    ("failures", "status"),
    [
        ([None, None], "available: Card, where small calls gave what the definitions give"),
        ([None, "off"], "available: Card, but plain PyTorch takes the place of some kernels (op 1: off)"),
        (["off", "wrong"], "only if a call names it: tried on Card, op 0: off; op 1: wrong"),
    ],
)
def test_the_status_of_a_gpu_asks_the_check_of_every_op(monkeypatch, failures, status):
    monkeypatch.setattr(gpu, "INTERPRETED", False)
    monkeypatch.setattr(gpu, "why_unavailable", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Card")
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    checks = [SelfCheck(f"op {i}", lambda device, failure=failure: failure) for i, failure in enumerate(failures)]
    for check, failure in zip(checks, failures, strict=True):
        if failure is not None:
            with pytest.warns(UserWarning, match="not used on cuda:0"):
                check.failure(torch.device("cuda", 0))
    assert _triton_status(checks) == status
