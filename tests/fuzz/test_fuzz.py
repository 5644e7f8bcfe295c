"""The inputs that found something once, and some thousand new ones; `make test-fuzz` tries 100,000."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.__main__ import CORPUS


# Processes of their own: some inputs would end this one, and none needs the shapes of annotations checked.
@pytest.mark.parametrize("arguments", [["--corpus"], ["--inputs", "2000", "--seed", "7"]], ids=["corpus", "new"])
def test_no_input_ends_in_anything_but_a_message(arguments):
    assert any(CORPUS.iterdir())
    source = Path(__file__).parents[2] / "src"
    found = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *arguments, "--workers", "1"],
        env=os.environ | {"PYTHONPATH": str(source)},
        cwd=source.parent,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "findings 0 of 0 kinds" in found.stdout
