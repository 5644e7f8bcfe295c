"""Every test and every command that `docs/guarantees.md` names is there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")


def test_the_tests_that_hold_the_promises_are_there():
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > 40
    for file, test in named:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
        assert tests, file
        assert not test or test in tests, f"{file} has no {test}"


def test_the_commands_are_there():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"`make ([a-z-]+)`", PAGE))
    assert "sanitize" in named
    assert named <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
