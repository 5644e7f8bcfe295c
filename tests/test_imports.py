"""Imports run one way, function-local ones included, and importing the package is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import reformer

SOURCE = Path(reformer.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

MAY_IMPORT = {
    "errors": set(),
    "ops": {"errors"},
    "nn": {"ops"},
    "models": {"nn", "ops", "errors"},
    "finetuning": {"models", "nn", "ops", "errors"},
    "data": {"errors"},
    "training": {"finetuning", "models", "nn", "ops", "data", "errors"},
    "cli": {"training", "finetuning", "models", "nn", "ops", "data", "errors"},
}
"""Each part, and the parts it may know of."""

WITHOUT_TRANSFORMERS = {"ops", "nn"}


def _part(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def _imported(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import hides its direction"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports_run_one_way(file):
    part = _part(file)
    if part in ("__init__", "__main__"):
        return
    assert part in MAY_IMPORT, f"{file}: say in MAY_IMPORT what {part} may know of"
    for name in _imported(file):
        if name.startswith("reformer."):
            other = name.split(".")[1]
            assert other == part or other in MAY_IMPORT[part] or other == "__version__", f"{file} imports {name}"
        if part in WITHOUT_TRANSFORMERS:
            assert name.split(".")[0] != "transformers", f"{file} imports {name}"


def test_importing_the_package_imports_neither_torch_nor_transformers():
    script = "import sys, reformer; print([m for m in ('torch', 'transformers', 'triton') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_ops_import_torch_alone():
    script = "import sys, reformer.ops; print([m for m in ('transformers', 'triton') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_public_name_is_there_and_they_are_few():
    assert len(reformer.__all__) <= 25
    for name in reformer.__all__:
        assert getattr(reformer, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        reformer.nonsense  # noqa: B018
