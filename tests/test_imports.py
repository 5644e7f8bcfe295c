"""Imports run one way, in no circle, function-local and type-checking ones included; importing the package is cheap."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import reformer

SOURCE = Path(reformer.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

MAY_IMPORT = {
    "auto_classes": set(),
    "errors": set(),
    "wording": set(),
    "processes": set(),
    "files": {"processes", "errors"},
    "terminal": {"errors"},
    "interruption": {"errors"},
    "recipe": {"errors"},
    "ops": {"files", "errors"},
    "nn": {"ops"},
    "parallel": {"nn", "ops"},
    "baselines": {"nn", "errors"},
    "models": {"nn", "ops", "auto_classes", "errors"},
    "interop": {"nn", "ops", "errors"},
    "export": {"runs", "tasks", "models", "nn", "ops", "files", "errors"},
    "data": {"files", "terminal", "errors"},
    "metrics": {"data", "errors"},
    "report": {"metrics"},
    "finetuning": {"models", "nn", "errors"},
    "tasks": {"data", "baselines", "metrics", "recipe", "finetuning", "models", "files", "errors"},
    "runs": {"tasks", "metrics", "data", "recipe", "finetuning", "models", "files", "errors"},
    "training": {
        "insight",
        "parallel",
        "runs",
        "report",
        "tasks",
        "metrics",
        "recipe",
        "finetuning",
        "models",
        "nn",
        "ops",
        "data",
        "interruption",
        "files",
        "processes",
        "terminal",
        "errors",
    },
    "inference": {"runs", "tasks", "metrics", "models", "data", "interruption", "files", "processes", "errors"},
    "serving": {"inference", "runs", "tasks", "report", "metrics", "models", "data", "terminal", "errors"},
    "insight": {"advice", "runs", "tasks", "models", "nn", "ops", "recipe", "data", "terminal", "errors"},
    "advice": {"tasks", "data", "terminal", "errors"},
    "cli": {
        "serving",
        "export",
        "insight",
        "advice",
        "inference",
        "training",
        "runs",
        "report",
        "tasks",
        "recipe",
        "metrics",
        "data",
        "ops",
        "interruption",
        "files",
        "terminal",
        "errors",
    },
}
"""Each part, and the parts it may know of, beside `wording`, which all that tell the user something may know."""

WITHOUT_TRANSFORMERS = {"ops", "nn"}


def _name(file: Path) -> str:
    return ".".join(("reformer", *file.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")


MODULES = {_name(file): file for file in FILES}


def _part(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def _imported(file: Path) -> set[str]:
    """Every module that the file imports, at whatever depth; of the package's own, the module that a name is in."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import hides its direction"
            module = node.module or ""
            names = {f"{module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else module for name in names}
    return found


def _own(file: Path) -> set[str]:
    """The package's own modules that the file imports; its version is no module."""
    return {name for name in _imported(file) if name in MODULES and name != "reformer"}


def test_imports_run_one_way():
    wrong = []
    for file in FILES:
        part = _part(file)
        if part in ("__init__", "__main__"):
            continue
        assert part in MAY_IMPORT, f"{file}: say in MAY_IMPORT what {part} may know of"
        for name in sorted(_own(file)):
            other = name.split(".")[1]
            if other not in (part, "wording") and other not in MAY_IMPORT[part]:
                wrong.append(f"{_name(file)} imports {name}")
    assert wrong == []


@pytest.mark.parametrize("file", [f for f in FILES if _part(f) in WITHOUT_TRANSFORMERS], ids=_name)
def test_ops_and_layers_do_without_transformers(file):
    assert not [name for name in _imported(file) if name.split(".")[0] == "transformers"]


def test_no_file_imports_the_face_of_its_own_folder():
    """A face, `__init__.py`, imports the files of its folder: one of them that imports the face closes a circle."""
    wrong = [
        f"{_name(file)} imports {name}"
        for file in FILES
        for name in _own(file)
        if MODULES[name].name == "__init__.py" and MODULES[name].parent in file.parents and MODULES[name] != file
    ]
    assert wrong == []


def test_no_file_imports_itself_through_others():
    graph = {_name(file): _own(file) - {_name(file)} for file in FILES if _part(file) != "__init__"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_importing_the_package_imports_neither_torch_nor_transformers():
    script = "import sys, reformer; print([m for m in ('torch', 'transformers', 'triton') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_ops_import_torch_alone():
    script = "import sys, reformer.ops; print([m for m in ('transformers', 'triton') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_public_name_is_there_and_they_are_few():
    assert len(reformer.__all__) <= 30
    for name in reformer.__all__:
        assert getattr(reformer, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        reformer.nonsense  # noqa: B018
