"""`reformer init`: a recipe that `reformer train` takes as it is."""

import tomllib

import pytest

from tests.cli.test_cli import reformer
from tests.tiny import write_conll, write_reviews

MARKED = "x\x1b[31m"


def test_a_recipe_is_written_and_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_conll(tmp_path / "names.conll", 60)
    said = reformer("init", "names.conll", "--offline", "--minutes", 2).stdout
    assert "60 texts" in said
    assert "180 entities" in said
    assert "names.toml: a recipe for token-classification; train it: reformer train names.toml" in said
    tables = tomllib.loads((tmp_path / "names.toml").read_text(encoding="utf-8"))
    assert tables["training"]["max_minutes"] == 2
    reformer("train", "names.toml", "--set", "training.max_steps=1", "--set", "training.num_evaluations=1")
    assert (tmp_path / "runs/names/metrics.json").exists()


def test_a_recipe_that_exists_is_kept(tmp_path):
    data, recipe = write_reviews(tmp_path / "a.csv", 60), tmp_path / "a.toml"
    recipe.write_text("dear\n", encoding="utf-8")
    assert "exists already" in reformer("init", data, "-o", recipe, status=1).stderr
    assert recipe.read_text(encoding="utf-8") == "dear\n"
    reformer("init", data, "-o", recipe, "--overwrite")
    assert "[training]" in recipe.read_text(encoding="utf-8")
    assert "overwrite" in reformer("init", data, "-o", data, "--overwrite", status=1).stderr


def test_names_and_labels_of_users_are_text_in_the_terminal(tmp_path):
    data = tmp_path / "a [b]\x1b[2J.csv"
    rows = [f"一二三{number},{('[/b]', MARKED)[number % 2]}" for number in range(40)]
    data.write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    result = reformer("init", data, "-o", tmp_path / "r.toml")
    assert "[/b] 20" in result.stdout
    assert "x\\u001b[31m 20" in result.stdout
    assert "\x1b" not in result.output
    tables = tomllib.loads((tmp_path / "r.toml").read_text(encoding="utf-8"))
    assert tables["data"]["train"] == str(data)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("text,label\n", (), "the file holds no document"),
        ("text\n好\n", ("--task", "sequence-classification"), "needs a label for each text"),
        ("text,label\n好,a\n坏,b\n", (), "2 records, and at least 10"),
        ("text,label\n好,a\n", ("--task", "labelling"), "expected one of"),
    ],
)
def test_what_cannot_be_advised_is_one_message(tmp_path, content, options, message):
    (tmp_path / "a.csv").write_text(content, encoding="utf-8")
    result = reformer("init", tmp_path / "a.csv", "-o", tmp_path / "r.toml", *options, status=1)
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "r.toml").exists()
