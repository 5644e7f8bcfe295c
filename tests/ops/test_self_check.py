"""The mechanism of the self-check, with the CPU in the place of a GPU and no kernels."""

import subprocess
import sys
import threading
import warnings

import pytest
import torch

from reformer.errors import ReformerError
from reformer.ops import gpu, native
from reformer.ops.self_check import SelfCheck
from reformer.ops.window_attention import BACKENDS

CPU = torch.device("cpu")


@pytest.fixture
def card(monkeypatch):
    """The CPU in the place of a GPU that kernels run on."""
    monkeypatch.setattr(gpu, "INTERPRETED", False)
    monkeypatch.setattr(gpu, "DEVICES", ("cpu",))
    monkeypatch.setattr(gpu, "why_unsupported", lambda tensor: None)


def test_a_failure_is_kept_and_warned_of_once(card):
    calls = []
    check = SelfCheck("some op", lambda device: calls.append(device) or "the output is 1e+00 off")
    with pytest.warns(
        UserWarning, match=r"kernels of some op are not used on cpu: the output is 1e.00 off\. Plain PyTorch"
    ):
        assert not check.serves(torch.empty(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not check.serves(torch.empty(1))
        assert check.failure(CPU) == "the output is 1e+00 off"
    assert calls == [CPU]


def test_a_success_is_kept_too_and_each_check_has_its_own_verdict(card):
    calls = []
    check = SelfCheck("one op", lambda device: calls.append(device))
    other = SelfCheck("another op", lambda device: "wrong")
    assert check.serves(torch.empty(1))
    with pytest.warns(UserWarning, match="another op"):
        assert not other.serves(torch.empty(1))
    assert check.serves(torch.empty(1))
    assert calls == [CPU]


def test_an_exception_is_a_failure(card):
    def fails(device):
        raise RuntimeError("no such instruction\nmore")

    with pytest.warns(UserWarning, match="RuntimeError: no such instruction"):
        assert SelfCheck("op", fails).failure(CPU) == "RuntimeError: no such instruction"

    def fails_silently(device):
        raise RuntimeError

    with pytest.warns(UserWarning, match="RuntimeError"):
        assert SelfCheck("op", fails_silently).failure(CPU) == "RuntimeError: "


def test_it_runs_beside_the_callers_modes():
    modes = []

    def look(device):
        modes.append((torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu"), threading.current_thread()))

    with torch.inference_mode(), torch.autocast("cpu"):
        assert SelfCheck("op", look).failure(CPU) is None
    assert modes[0][:2] == (False, False)
    assert modes[0][2] is not threading.current_thread()


def test_threads_that_ask_at_once_wait_for_one_comparison():
    calls, barrier = [], threading.Barrier(2)
    check = SelfCheck("op", lambda device: calls.append(device))

    def ask():
        barrier.wait()
        check.failure(CPU)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [CPU]


def test_nothing_is_compared_where_kernels_cannot_run(monkeypatch):
    def fails(device):
        raise AssertionError

    check = SelfCheck("op", fails)
    assert not check.serves(torch.empty(1))
    monkeypatch.setattr(gpu, "DEVICES", ("cpu",))
    monkeypatch.setattr(gpu, "why_unsupported", lambda tensor: "there is no kernel")
    assert not check.serves(torch.empty(1))
    # The interpreter is exact, and a comparison in it takes minutes.
    monkeypatch.setattr(gpu, "why_unsupported", lambda tensor: None)
    monkeypatch.setattr(gpu, "INTERPRETED", True)
    assert check.serves(torch.empty(1))


def test_a_cuda_graph_cannot_capture_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    check = SelfCheck("some op", lambda device: None)
    with pytest.raises(ReformerError, match=r"first call of some op .* make the call once before the capture"):
        check.failure(torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    assert check.failure(torch.device("cuda", 0)) is None


TRACED = """
import torch
from reformer.ops import gpu, position_slots, window_attention
from reformer.ops.self_check import SelfCheck
from reformer.ops.window_attention import REFUSALS, triton

calls = []
gpu.DEVICES, gpu.why_unsupported, gpu.INTERPRETED = ("cpu",), lambda tensor: None, False
REFUSALS["triton"] = lambda query, key: None
triton.SELF_CHECK = SelfCheck("window attention", lambda device: calls.append(1) or "it is off")
slots = position_slots(torch.ones(1, 4, dtype=torch.bool))

def attend(x):
    return window_attention(x, x, x, slots, window=2)

x = torch.randn(1, 1, 4, 8)
compiled = torch.compile(attend, fullgraph=True, backend="aot_eager")
assert (compiled(x) - attend(x)).abs().max() < 1e-6
assert calls == [1], calls
"""


# `eager`, which would serve without the compiled kernels, breaks graphs.
@pytest.mark.skipif(not {"triton", "cpu"} <= {*BACKENDS} or native.LIBRARY is None, reason="needs triton and cpu")
def test_a_graph_that_is_traced_first_stays_whole():
    # In a process of its own, without the checks of annotated shapes, which cannot be traced.
    done = subprocess.run([sys.executable, "-c", TRACED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
