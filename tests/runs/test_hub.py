"""What is published of a run is its model, and nothing that quotes its data."""

from types import SimpleNamespace

import pytest

from reformer.errors import ReformerError
from reformer.runs import hub
from tests.cli.test_cli import reformer


@pytest.fixture
def run(tmp_path):
    """The files of a finished run."""
    folder = tmp_path / "run"
    (folder / "logs").mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "recipe.toml", "metrics.json", "README.md", "report.html"):
        (folder / name).write_text(name, encoding="utf-8")
    return folder


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

    def upload_folder(self, **options):
        self.calls.append(options)


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
    (name, options), upload = api.calls
    assert (name, options["private"]) == ("labeller", True)
    assert upload["repo_id"] == "me/labeller"
    assert set(upload["allow_patterns"]) == {
        "config.json", "model.safetensors", "recipe.toml", "metrics.json", "README.md",
    }  # fmt: skip


def test_what_cannot_be_published_is_one_message(run, monkeypatch, tmp_path):
    assert "no name of a repository" in reformer("push", run, "a//b", "--dry-run", status=1).output
    (run / "metrics.json").unlink()
    assert "has no metrics.json" in reformer("push", run, "me/labeller", "--dry-run", status=1).output
    (run / "metrics.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(hub, "HfApi", _Api(ConnectionError("no route")))
    with pytest.raises(ReformerError, match="could not be published \\(no route\\)"):
        hub.push(run, "me/labeller")
