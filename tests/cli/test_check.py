"""`reformer data check`, and options of other commands for files that are not as they should be."""

import json

import pytest

from reformer.data.notes import DataWarning
from reformer.runs.recipe_file import write_recipe
from reformer.tasks.recipe_checks import checked_recipe
from tests.cli.test_cli import reformer
from tests.tiny import reviews_recipe


def test_a_file_with_faults_ends_with_status_1_and_a_page(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\n[b]好,[/b]\n坏,\n差,x\n,x\n", encoding="utf-8")
    result = reformer("data", "check", tmp_path / "a.csv", "--html", tmp_path / "a.html", status=1)
    assert "[/b]" in result.stdout
    assert "a.csv:3: the column 'label' is empty" in result.stdout
    assert "a.csv:5: empty text" in result.stdout
    assert "2 faults" in result.stderr
    assert "<h2>2 faults</h2>" in (tmp_path / "a.html").read_text(encoding="utf-8")
    result = reformer("data", "check", tmp_path / "a.csv", "--html", tmp_path / "a.html", status=1)
    assert "exists" in result.stderr


def test_a_sound_file_ends_with_status_0_as_json(tmp_path):
    rows = [f"文本{number};{'ab'[number % 2]}" for number in range(10)]
    (tmp_path / "a.csv").write_bytes("\n".join(rows).encode("gb18030"))
    arguments = ("data", "check", tmp_path / "a.csv", "--no-header", "--encoding", "gb18030", "--json")
    report = json.loads(reformer(*arguments).stdout)
    assert report["labels"] == {"a": 5, "b": 5}
    assert report["faults"] == []


def test_a_file_is_converted_with_the_options_that_its_messages_name(tmp_path):
    rows = [f"文本很好的饭店{number},{'ab'[number % 2]}" for number in range(10)]
    (tmp_path / "a.csv").write_bytes("\n".join(rows).encode("gb18030"))
    result = reformer("data", "convert", tmp_path / "a.csv", tmp_path / "b.jsonl", status=1)
    assert "--encoding gb18030" in result.stderr
    arguments = ("data", "convert", tmp_path / "a.csv", tmp_path / "b.jsonl", "--encoding", "gb18030")
    result = reformer(*arguments, status=1)
    assert "--no-header" in result.stderr
    assert not (tmp_path / "b.jsonl").exists()
    reformer(*arguments, "--no-header")
    first = json.loads((tmp_path / "b.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert (first["text"], first["label"]) == ("文本很好的饭店0", "a")


def test_a_page_that_is_the_file_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\n好,a\n", encoding="utf-8")
    reformer("data", "check", tmp_path / "a.csv", "--html", tmp_path / "a.csv", "--overwrite", status=1)
    assert (tmp_path / "a.csv").read_text(encoding="utf-8").startswith("text")


@pytest.fixture
def recipe(tmp_path):
    """A recipe of a small classifier, whose training file is a table of 40 rows."""
    tables = reviews_recipe(tmp_path, max_steps=2)
    rows = [f"文本{number},{'ab'[number % 2]}" for number in range(40)]
    (tmp_path / "train.csv").write_text("\n".join(["text,label", *rows, ""]), encoding="utf-8")
    tables["data"] = {"train": str(tmp_path / "train.csv")}
    write_recipe(checked_recipe(tables), tmp_path / "recipe.toml")
    return tmp_path / "recipe.toml"


def test_training_lists_all_bad_rows_and_leaves_them_out_where_that_is_asked_for(tmp_path, recipe):
    with (tmp_path / "train.csv").open("a", encoding="utf-8") as file:
        file.write("坏,\n,a\n")
    result = reformer("train", recipe, "-o", tmp_path / "run", status=1)
    assert "train.csv:42: the column 'label' is empty" in result.stderr
    assert "train.csv:43: empty text" in result.stderr
    result = reformer("train", recipe, "-o", tmp_path / "run", "--skip-bad")
    assert "warning: 2 records left out (skip_bad)" in result.stderr


def test_folds_are_trained_and_gone_on_with(tmp_path, recipe):
    result = reformer("train", recipe, "-o", tmp_path / "runs", "--folds", 2)
    assert "macro_f1" in result.stderr
    found = json.loads((tmp_path / "runs/folds.json").read_text())
    assert len(found["validation"]["macro_f1"]["values"]) == 2
    assert (tmp_path / "runs/fold-2/model.safetensors").is_file()
    reformer("train", recipe, "-o", tmp_path / "runs", "--folds", 2, "--resume")
    assert json.loads((tmp_path / "runs/folds.json").read_text()) == found
    result = reformer("train", recipe, "-o", tmp_path / "runs", "--folds", 2, status=1)
    assert "fold-1" in result.stderr


def test_files_of_one_name_and_ids_that_recur_are_told_apart(tmp_path, recipe):
    reformer("train", recipe, "-o", tmp_path / "run")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.txt").write_text("文本", encoding="utf-8")
    files = [tmp_path / name / "report.txt" for name in ("one", "two")]
    lines = reformer("predict", tmp_path / "run", *files).stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [str(file) for file in files]
    (tmp_path / "a.jsonl").write_text('{"id": 1, "text": "文"}\n{"id": 1, "text": "本"}\n', encoding="utf-8")
    with pytest.warns(DataWarning, match="1 record has the id of one before them, such as '1'"):
        reformer("predict", tmp_path / "run", tmp_path / "a.jsonl")
