"""Outputs of the commands: never in the place of an input or of a file that is there, and whole or not at all."""

import json
import os
import shutil
import signal

import pytest

from reformer.runs.folder import MARKER
from tests.cli.test_cli import _written, reformer
from tests.tiny import language_recipe, ner_recipe


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A labeller and a language model, trained by the command."""
    folder = tmp_path_factory.mktemp("runs")
    for name, tables in (("ner", ner_recipe(folder, max_steps=1)), ("lm", language_recipe(folder, max_steps=1))):
        reformer("train", _written(tables, folder / f"{name}.toml"), "-o", folder / name)
    return folder


@pytest.fixture
def texts(runs, tmp_path):
    """A test file, and other names of it."""
    path = tmp_path / "in.conll"
    shutil.copyfile(runs / "test.conll", path)
    (tmp_path / "soft.conll").symlink_to("in.conll")
    os.link(path, tmp_path / "hard.conll")
    return path


@pytest.mark.parametrize("name", ["in.conll", "soft.conll", "hard.conll", "../{}/in.conll"])
@pytest.mark.parametrize(("command", "run"), [("predict", "ner"), ("evaluate", "ner"), ("score", "lm")])
def test_an_input_is_not_an_output(runs, texts, command, run, name):
    before = texts.read_bytes()
    output = texts.parent / name.format(texts.parent.name)
    result = reformer(command, runs / run, texts, "-o", output, "--overwrite", status=1)
    assert "is the same file as" in result.stderr
    assert texts.read_bytes() == before


def test_token_scores_and_state_are_no_input_either(runs, texts, tmp_path):
    before = texts.read_bytes()
    text = texts.rename(tmp_path / "in.jsonl")
    score = ("score", runs / "lm", text)
    for option in ("--per-token", "--state"):
        assert "is the same file" in reformer(*score, option, text, "--overwrite", status=1).stderr
    assert "is the same file" in reformer(*score, "--state", "s", "-o", "s", status=1).stderr
    assert text.read_bytes() == before


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_missing_input_or_the_model_itself_empties_nothing(runs, tmp_path, command):
    result = reformer(command, runs / "ner", tmp_path / "a.csv", "-o", tmp_path / "a.csv", status=1)
    assert "is the same file" in result.stderr
    (tmp_path / "out").write_text("dear", encoding="utf-8")
    reformer(command, runs / "ner", tmp_path / "a.csv", "-o", tmp_path / "out.json", status=1)
    weights = runs / "ner/model.safetensors"
    before = weights.read_bytes()
    reformer(command, runs / "ner", runs / "test.conll", "-o", weights, "--overwrite", status=1)
    assert weights.read_bytes() == before


@pytest.mark.parametrize(("command", "run"), [("evaluate", "ner"), ("score", "lm")])
def test_an_output_is_replaced_only_if_asked(runs, texts, tmp_path, command, run):
    output = tmp_path / "scores.json"
    output.write_text("dear", encoding="utf-8")
    output.chmod(0o640)
    arguments = (command, runs / run, texts, "-o", output)
    assert "exists already" in reformer(*arguments, status=1).stderr
    assert output.read_text(encoding="utf-8") == "dear"
    reformer(*arguments, "--overwrite")
    assert json.loads(output.read_text(encoding="utf-8"))
    assert output.stat().st_mode & 0o777 == 0o640


@pytest.fixture
def hang_up_is_heard():
    """SIGHUP as a terminal's process has it, also where the tests run under `nohup`, which lets it be ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hang_up_is_heard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_prediction_leaves_the_old_output_and_says_where_its_answers_are(
    runs, texts, tmp_path, monkeypatch, number
):
    from reformer.tasks.documents.task import DocumentTask

    output = tmp_path / "out.jsonl"
    output.write_text("dear", encoding="utf-8")
    predict = DocumentTask.predict

    def stopped(*arguments):
        for count, record in enumerate(predict(*arguments)):
            if count == 1:
                os.kill(os.getpid(), number)
            yield record

    monkeypatch.setattr(DocumentTask, "predict", stopped)
    result = reformer("predict", runs / "ner", texts, "-o", output, "--overwrite", status=128 + number)
    assert f"the answers up to here are in {output}.partial" in result.stderr
    assert output.read_text(encoding="utf-8") == "dear"
    partial = (tmp_path / "out.jsonl.partial").read_text(encoding="utf-8")
    assert [json.loads(line)["id"] for line in partial.splitlines()]
    monkeypatch.undo()
    reformer("predict", runs / "ner", texts, "-o", output, "--overwrite")
    assert output.read_text(encoding="utf-8").startswith(partial)
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".unfinished")]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_one_message(runs, texts, tmp_path):
    (tmp_path / "out.jsonl").symlink_to("/dev/full")
    arguments = (runs / "ner", texts, "-o", tmp_path / "out.jsonl", "--overwrite")
    for command in ("predict", "evaluate"):
        assert "No space left on device" in reformer(command, *arguments, status=1).stderr


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_training_takes_no_folder_of_the_user(runs, tmp_path, monkeypatch, overwrite):
    mine = tmp_path / "exp"
    (mine / "start").mkdir(parents=True)
    (mine / "start/dear.txt").write_text("mine", encoding="utf-8")
    shutil.copyfile(runs / "ner.toml", mine / "recipe.toml")
    before = sorted(mine.rglob("*"))
    assert "folder of the recipe" in reformer("train", mine / "recipe.toml", "-o", mine, *overwrite, status=1).stderr
    assert "not known as the folder" in reformer("train", runs / "ner.toml", "-o", mine, *overwrite, status=1).stderr
    monkeypatch.chdir(mine)
    assert "current folder" in reformer("train", runs / "ner.toml", "-o", ".", *overwrite, status=1).stderr
    assert sorted(mine.rglob("*")) == before


def test_overwriting_a_run_replaces_its_files_and_no_others(runs, tmp_path):
    folder = tmp_path / "run"
    train = ("train", runs / "ner.toml", "-o", folder)
    reformer(*train)
    written = json.loads((folder / MARKER).read_text(encoding="utf-8"))["written"]
    assert {"recipe.toml", "metrics.json", "model.safetensors", "config.json", "tokenizer.json"} <= set(written)
    for name in ("thesis.txt", "logs/dear.txt"):
        (folder / name).write_text("mine", encoding="utf-8")
    weights = (folder / "model.safetensors").read_bytes()
    # One that fails leaves the former run beside.
    reformer(*train, "--overwrite", "--set", "training.learning_rate=1e30", "--set", "training.max_steps=30", status=1)
    assert (tmp_path / "run.replaced/model.safetensors").read_bytes() == weights
    assert "is kept in" in reformer(*train, "--overwrite").stderr
    assert (folder / "model.safetensors").read_bytes() == weights
    assert (folder / "thesis.txt").read_text(encoding="utf-8") == "mine"
    # What a run has not written stays where the run was put.
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("run.replaced*/**/*") if path.is_file()}
    assert left == {"run.replaced/logs/dear.txt"}


def test_show_writes_a_page_of_all_documents_or_of_one(runs, texts, tmp_path):
    page = tmp_path / "page.html"
    show = ("show", runs / "ner", texts, "--html", page)
    reformer(*show)
    whole = page.read_text(encoding="utf-8")
    assert whole.count("<h2>") == 8
    assert "exists already" in reformer(*show, status=1).stderr
    reformer(*show, "--overwrite", "-n", 2)
    assert page.read_text(encoding="utf-8").count("<h2>") == 1
    assert "is the same file" in reformer("show", runs / "ner", texts, "--html", texts, "--overwrite", status=1).stderr
    assert "--overwrite" in reformer("show", runs / "ner", texts, "--overwrite", status=1).stderr
