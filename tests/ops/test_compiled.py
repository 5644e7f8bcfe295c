"""Triton's kernels compiled for a GPU, in a process of their own: where the interpreter is on, nothing is compiled."""

import os
import re
import subprocess
import sys
from importlib import util

import pytest

from .compiled import REGISTERS, SHARED_MEMORY

LINE = re.compile(r"(?P<name>\w+) +(?P<registers>\d+) registers +(?P<spilled>\d+) spilled +(?P<shared>\d+) shared")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(util.find_spec("triton") is None, reason="triton is not installed")
@pytest.mark.parametrize(
    "what",
    ["bfloat16 64 all", "bfloat16 80", "float16 64", "float32 64"],
)
def test_every_launch_compiles_and_fits_on_the_card(what):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.ops.compiled", *what.split()]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = [LINE.match(line) for line in done.stdout.splitlines()]
    assert all(found)
    assert {each["name"] for each in found} >= {"hash_factor", "rank", "forward", "backward_queries", "backward_keys"}
    for each in found:
        assert int(each["shared"]) <= SHARED_MEMORY, each.group()
        assert int(each["registers"]) <= REGISTERS, each.group()
        # Those of float32 hold each number in parts; a few may lie in memory.
        assert int(each["spilled"]) <= 64 or "float32" in what, each.group()
