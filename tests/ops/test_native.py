"""The loader of the compiled kernels: its environment variable, and errors of calls."""

import pytest

from reformer.errors import ReformerError
from reformer.ops import native

pytestmark = pytest.mark.skipif(native.LIBRARY is None, reason=native.VARIANT)


def test_a_variant_that_does_not_exist_is_an_error(monkeypatch):
    monkeypatch.setenv(native.CHOICE, "mmx")
    with pytest.raises(ReformerError, match=f"=mmx: expected one of {', '.join(native.VARIANTS)}, or none"):
        native._load()


def test_kernels_can_be_turned_off(monkeypatch):
    # That a process is started without them is in tests/benchmarks/test_turns.py.
    monkeypatch.setenv(native.CHOICE, "none")
    assert native._load() == (None, "REFORMER_CPU_VARIANT=none")


def test_a_status_becomes_an_exception(monkeypatch):
    class Failing:
        def __init__(self, status):
            self.reformer_bucket_slots = lambda argument: status

    for status, error in ((1, MemoryError), (2, RuntimeError), (4, ValueError)):
        monkeypatch.setattr(native, "LIBRARY", Failing(status))
        with pytest.raises(error):
            native.call("reformer_bucket_slots", native.SlotCall())
