"""The kernels are chosen unasked on a card where a small call went well, and there alone."""

import subprocess
import sys
import threading
import warnings

import pytest
import torch

from reformer.errors import ReformerError
from reformer.ops import backend_status, gpu, position_slots, self_check, window_attention
from reformer.ops.window_attention import REFUSALS

REFUSED = gpu.refusal(torch.empty(0))
CPU = torch.device("cpu")


@pytest.fixture
def card(monkeypatch):
    """The processor in the place of a card, of which nothing is known yet."""
    monkeypatch.setattr(gpu, "INTERPRETED", False)
    monkeypatch.setattr(gpu, "DEVICES", ("cpu",))
    monkeypatch.setattr(gpu, "refusal", lambda tensor: None)
    monkeypatch.setitem(REFUSALS, "triton", lambda query, key: None)
    monkeypatch.setattr(self_check, "_FOUND", {})


@pytest.mark.skipif(REFUSED is not None, reason=str(REFUSED))
def test_triton_kernels_that_are_right_are_trusted():
    assert self_check.discrepancy(CPU, length=20) is None


def test_what_is_wrong_is_not_chosen_and_said_once(card, monkeypatch):
    tries = []
    monkeypatch.setattr(self_check, "discrepancy", lambda device: tries.append(1) or "the output is 1e+00 off")
    x, slots = torch.randn(1, 1, 4, 8), position_slots(torch.ones(1, 4, dtype=torch.bool))
    with pytest.warns(UserWarning, match="not used on cpu: the output is 1e.00 off. Plain PyTorch serves"):
        first = window_attention(x, x, x, slots, window=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(window_attention(x, x, x, slots, window=2), first)
    assert tries == [1]


def test_what_does_not_compile_is_a_reason(card, monkeypatch):
    def fails(device):
        raise RuntimeError("no such instruction\nmore")

    monkeypatch.setattr(self_check, "discrepancy", fails)
    with pytest.warns(UserWarning, match="RuntimeError: no such instruction"):
        assert self_check.distrust(CPU) == "RuntimeError: no such instruction"


def test_it_is_tried_beside_the_callers_modes_and_random_state(card, monkeypatch):
    seen = []

    def look(device):
        seen.append((torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu"), threading.current_thread()))

    monkeypatch.setattr(self_check, "discrepancy", look)
    with torch.inference_mode(), torch.autocast("cpu"):
        assert self_check.distrust(CPU) is None
    assert seen[0][:2] == (False, False)


TRACED = """
import torch
from importlib import import_module
from reformer.ops import gpu, position_slots, window_attention
from reformer.ops.gpu import self_check

tries = []
gpu.DEVICES, gpu.refusal, gpu.INTERPRETED = ("cpu",), lambda tensor: None, False
import_module("reformer.ops.window_attention").REFUSALS["triton"] = lambda query, key: None
self_check.discrepancy = lambda device: tries.append(1) or "it is off"
slots = position_slots(torch.ones(1, 4, dtype=torch.bool))

def attend(x):
    return window_attention(x, x, x, slots, window=2)

x = torch.randn(1, 1, 4, 8)
compiled = torch.compile(attend, fullgraph=True, backend="aot_eager")
assert (compiled(x) - attend(x)).abs().max() < 1e-6
assert tries == [1], tries
"""


def test_a_graph_that_is_traced_first_stays_whole():
    # In a process of its own, without the checks of annotated shapes, which cannot be traced.
    done = subprocess.run([sys.executable, "-c", TRACED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_wrong_result_is_found(monkeypatch):
    """By the comparison itself, with definitions in the place of the kernels."""
    from reformer.ops import orderings
    from reformer.ops.orderings import triton as hashing

    plain = self_check._attended
    off = [0.0]

    def attended(given, slots, backend):
        found = plain(given, slots, "reference")
        return found if backend == "reference" else [found[0], found[1] + off[0], found[2]]

    monkeypatch.setattr(self_check, "_attended", attended)
    monkeypatch.setattr(hashing, "hash_buckets", lambda vectors, turns: orderings.hash_buckets(vectors, (*turns,)))
    monkeypatch.setattr(hashing, "bucket_slots", lambda buckets, *rest: orderings.bucket_slots(buckets))
    state = torch.get_rng_state()
    assert self_check.discrepancy(CPU) is None
    assert torch.equal(torch.get_rng_state(), state)
    off[0] = 0.5
    assert "in bfloat16 the gradient of queries is" in str(self_check.discrepancy(CPU))
    off[0] = float("nan")
    assert "gradient of queries is nan off" in str(self_check.discrepancy(CPU))
    monkeypatch.setattr(hashing, "bucket_slots", lambda buckets, *rest: orderings.bucket_slots(buckets) + 1)
    assert self_check.discrepancy(CPU) == "400 of 400 tokens have another slot"
    monkeypatch.setattr(hashing, "hash_buckets", lambda vectors, rotations: torch.zeros(1, 2, 1, 200).long())
    assert "tokens are in another bucket" in str(self_check.discrepancy(CPU))


def test_in_a_graph_nothing_can_be_tried(card, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(ReformerError, match="make the call once before it is captured"):
        self_check.distrust(torch.device("cuda", 0))


def test_the_status_says_what_was_seen(card, monkeypatch):
    monkeypatch.setattr(gpu, "unavailable", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Card")
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    for found, told in (
        (None, "available: Card, where a small call"),
        ("it is off", "by name alone: tried on Card, it is"),
    ):
        monkeypatch.setattr(self_check, "_FOUND", {"cuda:0": found})
        assert backend_status()["triton"].startswith(told)
