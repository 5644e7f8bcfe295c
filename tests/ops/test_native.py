"""The loader of the compiled kernels: its environment variable, and errors of calls."""

import os
import subprocess
import sys

import pytest

from reformer.ops import native

pytestmark = pytest.mark.skipif(native.LIBRARY is None, reason=native.VARIANT)


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_variant_that_does_not_exist_is_an_error():
    done = run("import reformer.ops", **{native.CHOICE: "mmx"})
    assert "REFORMER_CPU_VARIANT=mmx: expected one of generic, avx2, avx512, avx512_bf16, amx, or none" in done.stderr


def test_kernels_can_be_turned_off():
    done = run("from reformer.ops import native; print(native.LIBRARY, native.VARIANT)", **{native.CHOICE: "none"})
    assert done.stdout.strip() == "None REFORMER_CPU_VARIANT=none"


def test_a_status_becomes_an_exception(monkeypatch):
    class Failing:
        def __init__(self, status):
            self.reformer_bucket_slots = lambda argument: status

    for status, error in ((1, MemoryError), (2, RuntimeError), (4, ValueError)):
        monkeypatch.setattr(native, "LIBRARY", Failing(status))
        with pytest.raises(error):
            native.call("reformer_bucket_slots", native.SlotCall())
