"""A document of a hundred thousand characters, labelled whole by the newspaper recipe's model."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from reformer.runs.recipe_file import read_recipe
from tests.cli.test_cli import _written, reformer
from tests.tiny import ner_recipe

RECIPE = Path(__file__).parent.parent.parent / "recipes/people-daily-ner.toml"
LENGTH, MOST_MEGABYTES = 100_000, 3000


@pytest.mark.slow
def test_it_needs_less_than_three_gigabytes(tmp_path):
    tables = ner_recipe(tmp_path, max_steps=2, num_evaluations=1)
    tables["model"] = dict(read_recipe(RECIPE).model)
    reformer("train", _written(tables, tmp_path / "ner.toml"), "--output", tmp_path / "ner")
    pick = random.Random(0)
    text = "".join(pick.choices("王小明去了北京的新华社。", k=LENGTH))
    (tmp_path / "long.jsonl").write_text(json.dumps({"text": text}), encoding="utf-8")
    command = ["predict", tmp_path / "ner", tmp_path / "long.jsonl", "-o", tmp_path / "out.jsonl"]
    process = subprocess.Popen([sys.executable, "-m", "reformer", *map(str, command)])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    (record,) = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert record["text"] == text
    megabytes = usage.ru_maxrss * 1024 / 1e6
    print(f"{LENGTH:,} characters: {megabytes:,.0f} MB")
    assert megabytes < MOST_MEGABYTES
