"""Training that is begun on each of two machines, as the guide has it, with both on this one."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_cli import _written
from tests.tiny import ner_recipe


@pytest.mark.slow
def test_one_command_on_each_machine(tmp_path):
    recipe = _written(ner_recipe(tmp_path, max_steps=4), tmp_path / "recipe.toml")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    script = Path(sys.executable).with_name("torchrun")
    commands = [
        [
            *(str(script), "--nnodes", "2", "--node-rank", str(rank), "--nproc-per-node", "1"),
            *("--master-addr", "127.0.0.1", "--master-port", str(port)),
            *("-m", "reformer", "train", str(recipe), "-o", str(tmp_path / "run")),
        ]
        for rank in range(2)
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": environment}
    processes = [subprocess.Popen(command, **told) for command in commands]
    output = [process.communicate(timeout=250)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], output
    # The first process tells of the run, and writes it.
    assert "step 4" in output[0]
    assert "step 4" not in output[1]
    assert (tmp_path / "run/model.safetensors").is_file()
