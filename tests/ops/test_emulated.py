"""The kernels on emulated processors: what is missing is said; one variant of ARM is run where it can be."""

import io
import shutil
import subprocess
from dataclasses import replace

import pytest

from . import calls, emulated


def test_what_is_missing_is_named_with_its_package(monkeypatch, capsys):
    machine = replace(emulated.MACHINES["aarch64"], compiler="no-such-compiler", emulator=("no-such-emulator",))
    monkeypatch.setitem(emulated.MACHINES, "aarch64", machine)
    assert emulated.main(["aarch64"]) == 1
    found = capsys.readouterr().out
    assert "no-such-compiler and no-such-emulator missing; on Debian: apt-get install g++-aarch64-linux-gnu" in found
    assert found.splitlines()[-1] == "0 passed, 1 failed"


def test_a_machine_that_is_not_emulated_is_an_error(capsys):
    with pytest.raises(SystemExit):
        emulated.main(["vax"])
    assert "vax: expected aarch64 or x86_64" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no compiler")
def test_a_wrong_result_is_found(tmp_path):
    machine = replace(emulated.MACHINES["x86_64"], compiler="g++", emulator=())
    program = emulated.build(machine, "replay", ["-O1"], tmp_path)
    file = io.BytesIO()
    # The last of so many is one of hashing, which always expects some number.
    calls.write_calls(file, 9)
    for damage, status in ((False, 0), (True, 1)):
        written = bytearray(file.getvalue())
        if damage:
            # A high bit of the last number, an expected bucket.
            written[-2] ^= 0x20
        (tmp_path / "calls").write_bytes(written)
        done = subprocess.run([program, str(tmp_path / "calls")], capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout
