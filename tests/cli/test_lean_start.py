"""What a prediction does not need is not imported, and what it stands in for can still be had."""

import subprocess
import sys
from importlib.metadata import version

import pytest

from reformer.cli.lean_start import READ_IN
from tests.cli.test_cli import _written, reformer
from tests.tiny import ner_recipe

NOT_NEEDED = ("matplotlib", "scipy", "sklearn", "pandas", "sympy", "torch._inductor", "accelerate", "tensorboard")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A labeller, and a text."""
    folder = tmp_path_factory.mktemp("runs")
    reformer("train", _written(ner_recipe(folder, max_steps=1), folder / "ner.toml"), "-o", folder / "run")
    (folder / "text.txt").write_text("张伟去了北京。", encoding="utf-8")
    return folder


def _python(script, *arguments):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_prediction_imports_nothing_that_it_does_not_need(run):
    # Both commands in one process, the one after the other.
    script = f"""
import sys
from reformer.cli import main
for command in ("predict", "show"):
    sys.argv = ["reformer", command, *sys.argv[-2:]]
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code
    print("found:", command, [name for name in {NOT_NEEDED} if name in sys.modules])
    print("compiler:", type(sys.modules["torch._dynamo"]).__module__)
"""
    lines = _python(script, run / "run", run / "text.txt").splitlines()
    assert [line for line in lines if line.startswith("found: ")] == ["found: predict []", "found: show []"]
    assert lines.count("compiler: reformer.cli.lean_start") == 2


USES = [
    "torch._dynamo.reset()",
    "import torch._dynamo.config; import torch._dynamo._trace_wrapped_higher_order_op",
    "from torch._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex",
    "from transformers.masking_utils import TransformGetItemToIndex; TransformGetItemToIndex()",
    "assert torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)).item() == 2",
]


def test_the_real_compiler_comes_when_it_is_asked_for():
    # One process has loaded PyTorch, and splits for each use.
    script = f"""
from reformer.cli.lean_start import start_lean
start_lean()
import os, sys, torch
torch.set_num_threads(1)
assert "reset" not in vars(sys.modules["torch._dynamo"])
for number, use in enumerate({USES}):
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        exec(use)
        assert "reset" in vars(sys.modules["torch._dynamo"]), use
        os._exit(0)
    print(number, os.waitpid(process, 0)[1])
"""
    assert _python(script).splitlines() == [f"{number} 0" for number in range(len(USES))]


def test_nothing_is_changed_with_versions_that_it_was_not_written_for():
    script = """
import sys
from reformer.cli import lean_start
lean_start.READ_IN["transformers"] = "5.22."
lean_start.start_lean()
assert not {"torch", "transformers"} & sys.modules.keys()
"""
    _python(script)


def test_it_is_written_for_the_versions_that_are_tested():
    assert all(version(package).startswith(known) for package, known in READ_IN.items())


def test_nothing_is_changed_where_transformers_is_there_already():
    script = """
import transformers.modeling_utils
import sys
before = dict(sys.modules)
from reformer.cli.lean_start import start_lean
start_lean()
assert {name: module for name, module in sys.modules.items() if name in before} == before
assert transformers.utils.is_scipy_available.__module__.startswith("transformers")
"""
    _python(script)
