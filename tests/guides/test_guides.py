"""README and guides, followed word by word: the blocks of commands and of Python, in order, in a folder per page."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.guides.blocks import ROOT, Block, blocks, given, pages
from tests.guides.files import write_given

NOT_RUN = {
    "README.md": ["make demo", ".venv/bin/reformer train recipes/enwik8-quick.toml"],
    "docs/guides/cluster-training.md": [
        "torchrun --nnodes 2 --node-rank 0 --nproc-per-node 1 --master-addr first-machine --master-port 29500 \\",
        "#!/bin/bash",
        "python examples/train_on_ray.py recipe.toml runs/shared --workers 2",
    ],
    "docs/guides/data.md": ["from reformer.data import load, load_source"],
    "docs/guides/export.md": ["pip install 'reformer-torch[onnx]'"],
    "docs/guides/fine-tune.md": [
        "reformer convert bert-base-chinese runs/bert-long --length 4096 --layers 6 --kind local --window 65",
        "from reformer.interop import register_attention",
        "reformer train recipes/chinese-reviews-pretrain.toml",
    ],
    "docs/guides/forecast.md": ["from reformer.data import load_series, read_series"],
    "docs/guides/install.md": ["make demo"],
    "docs/guides/inspect.md": ["pip install 'reformer-torch[attribution]'"],
    "docs/guides/language-models.md": ["reformer train recipes/enwik8-quick.toml", "apt install libjemalloc2"],
    "docs/guides/libraries.md": [
        "from lm_eval import simple_evaluate",
        "from captum.attr import LayerIntegratedGradients",
    ],
    "docs/guides/many-documents.md": ["pip install 'reformer-torch[ray]'", "ray start --head"],
    "docs/guides/questions.md": ["reformer train recipes/people-daily-cloze.toml"],
    "docs/guides/recipes.md": [
        "reformer train recipes/people-daily-ner.toml --set training.max_minutes=10 --set model.hidden_size=128",
        "torchrun --nproc_per_node 2 -m reformer train recipes/people-daily-ner.toml",
        "torchrun --nproc-per-node 2 -m reformer train recipes/people-daily-ner.toml "
        "--set training.sequence_parallel=2",
    ],
    "docs/guides/several-machines.md": [
        "torchrun --nproc-per-node 2 examples/long_row.py",
        "group = parallelize(model, dist.group.WORLD)",
        'mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "sp"))',
        "torchrun --nproc-per-node 2 -m reformer train recipes/people-daily-ner.toml --set training.fsdp=true",
    ],
    "docs/guides/serve.md": [
        "pip install 'reformer-torch[serve]'",
        'curl localhost:8000/predict --json \'{"text": "张伟去了北京。"}\'',
        "reformer show runs/demo texts.jsonl --html page.html",
        "docker build --tag reformer .",
    ],
}
"""The blocks that no test runs, by their page and what they begin with; each has its reason on the page."""

QUICK = ("docs/guides/annotations.md",)
"""Pages that need no training."""


def _is_run(block: Block) -> bool:
    return (block.is_commands or block.language == "python") and block.reason is None


def _follow(page: str, folder: Path) -> None:
    """Run the blocks of a page in this folder, where what the page says the reader has is there."""
    own = [block for block in blocks(page) if _is_run(block)]
    write_given(folder, given(page))
    program = folder / ".venv/bin/reformer"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m reformer "$@"\n')
    program.chmod(0o755)
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": paths, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    environment |= {"HF_HUB_OFFLINE": "1", "REFORMER_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    names: dict[str, object] = {}
    with contextlib.chdir(folder):
        for block in own:
            if block.language == "python":
                exec(compile(block.run, block.place, "exec"), names)
                continue
            shell = ["bash", "-euo", "pipefail", "-c", block.run]
            result = subprocess.run(shell, env=environment, capture_output=True, text=True, check=False)
            said = f"{block.place}:\n{block.run}\n{result.stdout}\n{result.stderr}"
            assert result.returncode == 0, said
            assert "Traceback" not in result.stderr, said
            for name in re.findall(r"(?:-o|--output|--html|--per-token|--state|--pictures) ([^\s;]+)", block.run):
                assert Path(name).exists(), said


@pytest.mark.parametrize("page", QUICK)
def test_a_page_of_commands_can_be_followed(page, tmp_path):
    _follow(page, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in pages() if page not in QUICK and any(map(_is_run, blocks(page)))])
def test_a_page_can_be_followed(page, tmp_path):
    _follow(page, tmp_path)


def test_what_is_not_run_is_known():
    found: dict[str, list[str]] = {}
    for page in pages():
        for block in blocks(page):
            whole = [] if block.reason is None else [re.split("  |\n", block.text)[0]]
            if whole or block.left_out:
                found.setdefault(page, []).extend([*whole, *block.left_out])
    assert found == NOT_RUN


def test_the_chinese_readme_has_the_same_commands():
    def code(page: str) -> list[str]:
        return [re.sub(r"\s*#.*", "", block.text).strip() for block in blocks(page)]

    assert code("README.zh-CN.md") == code("README.md")


def test_comments_for_the_test_are_understood():
    marks = "<!-- test: b => c -->\n<!-- test: not run: why -->\n"
    page = marks + "```sh\na b\n```\n\n1. x\n\n    ```python\n    a = 1\n    ```\n"
    first, second = blocks("page", page)
    assert (first.text, first.run, first.reason, first.line) == ("a b", "a c", "why", 3)
    assert (second.text, second.language, second.is_commands) == ("a = 1", "python", False)


@pytest.mark.parametrize(
    "page",
    ["<!-- test: b => c -->\n\ntext\n", "<!-- test: x => c -->\n```sh\na\n```\n", "<!-- test: skip -->\n```\na\n```\n"],
)
def test_a_comment_that_does_nothing_is_an_error(page):
    with pytest.raises(ValueError, match="page: "):
        blocks("page", page)
