"""What is published of a run is its model, and nothing that quotes its data or says where they are."""

import json
import tomllib
from types import SimpleNamespace

import pytest

from reformer.errors import ReformerError
from reformer.runs import hub
from reformer.runs.recipe_file import tables_text
from tests.cli.test_cli import reformer


@pytest.fixture
def run(tmp_path):
    """The files of a finished run."""
    folder = tmp_path / "run"
    (folder / "logs").mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "recipe.toml", "metrics.json", "README.md", "report.html"):
        (folder / name).write_text("{}" if name.endswith(".json") else name, encoding="utf-8")
    _write_recipe(folder, train="data/train.jsonl")
    return folder


def _write_recipe(folder, train, **start):
    tables = {"data": {"train": train}, "finetune": start, "tokenizer": {"kind": "byte"}, "training": {"task": "x"}}
    (folder / "recipe.toml").write_text(tables_text(tables), encoding="utf-8")


class _Api:
    def __init__(self, fails=None):
        self.calls = []
        self.fails = fails

    def __call__(self, **options):
        return self

    def create_repo(self, name, **options):
        if self.fails:
            raise self.fails
        self.calls.append((name, options))
        return SimpleNamespace(repo_id=f"me/{name}")

    def create_commit(self, name, operations, **options):
        self.calls.append((name, {each.path_in_repo: each.path_or_fileobj for each in operations}))


def test_a_dry_run_tells_and_reaches_for_nothing(run, monkeypatch):
    monkeypatch.setattr(hub, "HfApi", None)
    shown = reformer("push", run, "me/labeller", "--dry-run").stdout
    assert "model.safetensors  17 bytes" in shown
    assert "not published: logs, report.html" in shown
    assert "nothing was published" in shown


def test_a_run_is_one_commit_of_its_own_files(run, monkeypatch):
    api = _Api()
    monkeypatch.setattr(hub, "HfApi", api)
    reformer("push", run, "labeller", "--private")
    (name, options), (repository, files) = api.calls
    assert (name, options["private"]) == ("labeller", True)
    assert repository == "me/labeller"
    assert files.keys() == {"config.json", "model.safetensors", "recipe.toml", "metrics.json", "README.md"}
    assert files["model.safetensors"] == str(run / "model.safetensors")


@pytest.mark.parametrize("home", ["/home/max/private", "C:\\Users\\max", "~/private", "../../private"])
def test_nobody_else_learns_where_the_data_are(run, home, monkeypatch):
    start = f"{home}/base"
    _write_recipe(run, f"{home}/train.jsonl", start_from=start)
    (run / "metrics.json").write_text(json.dumps({"start": {"from": start}, "loss": 1.5}), encoding="utf-8")
    published = hub.publication(run, "me/labeller")
    recipe = tomllib.loads(published.changed["recipe.toml"].decode())
    assert (recipe["data"]["train"], recipe["finetune"]["start_from"]) == ("train.jsonl", "base")
    assert recipe["tokenizer"] == {"kind": "byte"}
    assert json.loads(published.changed["metrics.json"]) == {"start": {"from": "base"}, "loss": 1.5}
    assert published.files["recipe.toml"] == len(published.changed["recipe.toml"])
    shown = reformer("push", run, "me/labeller", "--dry-run").stdout
    assert f"recipe.toml  {published.files['recipe.toml']} bytes, without the folders that it names" in shown
    assert "README.md  9 bytes\n" in shown
    api = _Api()
    monkeypatch.setattr(hub, "HfApi", api)
    hub.push(run, "labeller")
    files = api.calls[1][1]
    assert files["recipe.toml"] == published.changed["recipe.toml"]
    # The run itself still knows.
    assert f"{home}/train.jsonl" in tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))["data"]["train"]


@pytest.mark.parametrize("start", ["someone/model", "index:model"])
def test_names_on_the_hub_stay(run, start):
    _write_recipe(run, "train.jsonl", start_from=start)
    assert hub.publication(run, "me/labeller").changed == {}


def test_what_cannot_be_published_is_one_message(run, monkeypatch, tmp_path):
    assert "no name of a repository" in reformer("push", run, "a//b", "--dry-run", status=1).output
    (run / "metrics.json").unlink()
    assert "has no metrics.json" in reformer("push", run, "me/labeller", "--dry-run", status=1).output
    (run / "metrics.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(hub, "HfApi", _Api(ConnectionError("no route")))
    with pytest.raises(ReformerError, match="could not be published \\(no route\\)"):
        hub.push(run, "me/labeller")
