"""Type checkers understand a user's script: what they should find wrong in it, and nothing else."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("user_script.py")
SOURCE = Path(__file__).parents[2] / "src"

# torch and transformers are read once more by each.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def _pyright(folder: Path) -> dict[int, str]:
    """What is wrong, by line."""
    settings = {"extraPaths": [str(SOURCE)], "pythonVersion": "3.11"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    shutil.copy(SCRIPT, folder)
    command = ["-m", "pyright", "--outputjson", "--project", str(folder), "--pythonpath", sys.executable]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] == 1
    errors = (each for each in found["generalDiagnostics"] if each["severity"] == "error")
    return {each["range"]["start"]["line"] + 1: each["message"] for each in errors}


def _mypy(folder: Path) -> dict[int, str]:
    """What is wrong, by line."""
    command = ["-m", "mypy", "--follow-imports=silent", "--no-pretty", "--cache-dir", str(folder / "cache")]
    environment = os.environ | {"MYPYPATH": str(SOURCE)}
    command = [sys.executable, *command, "--python-version", "3.11", str(SCRIPT)]
    # Its own folder, whose settings are not the user's.
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    assert "checked 1 source file" in done.stdout, done.stdout + done.stderr
    errors = (line.split(":", 3) for line in done.stdout.splitlines() if ": error: " in line)
    return {int(line): message for _, line, _, message in errors}


@pytest.mark.parametrize(("name", "check"), [("pyright", _pyright), ("mypy", _mypy)])
def test_a_users_script_has_the_types_that_it_should(tmp_path, name, check):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is one of the tools of reformer-torch[dev], which are not installed")
    lines = SCRIPT.read_text(encoding="utf-8").splitlines()
    wrong = [number for number, line in enumerate(lines, 1) if line.endswith("# wrong")]
    found = check(tmp_path)
    assert sorted(found) == wrong, found
