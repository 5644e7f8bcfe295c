"""Whether kernels can run, and the helpers of launches; on any machine."""

import pytest
import torch

from reformer.ops import gpu


def test_without_a_gpu_the_reason_is_told(monkeypatch):
    monkeypatch.setattr(gpu, "INTERPRETED", False)
    monkeypatch.setattr(gpu, "MISSING", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "torch sees no GPU" in str(gpu.why_unavailable())
    monkeypatch.setattr(gpu, "MISSING", "triton is not installed")
    assert gpu.why_unavailable() == "triton is not installed"
    assert gpu.why_unsupported(torch.empty(1)) == "triton is not installed"


def test_an_old_gpu_is_refused_with_its_compute_capability(monkeypatch):
    monkeypatch.setattr(gpu, "INTERPRETED", False)
    monkeypatch.setattr(gpu, "MISSING", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", "12.0")

    class Card:
        major, minor = 7, 5

    monkeypatch.setattr(torch.cuda, "get_device_properties", Card)
    assert gpu.why_unavailable() == "the GPU has compute capability 7.5, the kernels need at least 8.0"
    Card.major = 8
    assert gpu.why_unavailable() is None


def test_a_tensor_on_another_device_or_of_another_dtype_is_refused(monkeypatch):
    monkeypatch.setattr(gpu, "why_unavailable", lambda: None)
    monkeypatch.setattr(gpu, "INTERPRETED", False)
    assert gpu.why_unsupported(torch.empty(1)) == "the tensor is on cpu, the kernels are for GPUs"
    monkeypatch.setattr(gpu, "INTERPRETED", True)
    assert gpu.why_unsupported(torch.empty(1)) is None
    assert gpu.why_unsupported(torch.empty(1, dtype=torch.int8)) is None
    assert str(gpu.why_unsupported(torch.empty(1, dtype=torch.float8_e5m2))).startswith(
        "the dtype is torch.float8_e5m2"
    )


@pytest.mark.parametrize(("number", "power"), [(0, 1), (1, 1), (2, 2), (3, 4), (64, 64), (65, 128)])
def test_the_next_power_of_2(number, power):
    assert gpu.next_power_of_2(number) == power
    assert gpu.next_power_of_2(number, 16) == max(16, power)


def test_outside_of_graphs_nothing_is_captured():
    assert not gpu.is_capturing()
    with gpu.device_guard(torch.empty(1)):
        pass
