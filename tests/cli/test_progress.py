"""Progress of answers: the time left is told where the size of all is known before."""

import io
import json
import os
import pty
from contextlib import suppress

import pytest
from rich.console import Console

from reformer.cli.progress import progress
from reformer.runs.loading import load_run
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from tests.processes import begun_command, ended
from tests.tiny import ner_recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    recipe = checked_recipe(ner_recipe(folder, max_steps=2, num_evaluations=1, baseline="none"))
    train(recipe, folder / "run", console=Console(quiet=True))
    return load_run(folder / "run")


def _shown(total, answers):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with progress(console, lambda: total) as count:
        for size in answers:
            count(size)
    return screen.getvalue()


def test_the_time_left_is_told_where_the_size_is_known():
    assert "left" in _shown(300, [100, 100])
    assert "2 answers" in _shown(300, [100, 100])
    assert "left" not in _shown(None, [100])
    assert "1 answer " in _shown(None, [100])


def test_outside_of_a_terminal_nothing_is_shown_and_no_file_is_read():
    screen = io.StringIO()
    with progress(Console(file=screen), lambda: pytest.fail("asked for the size")) as count:
        count(1)
    assert screen.getvalue().strip() == ""


def test_the_size_is_that_of_all_answers(run, tmp_path):
    texts = ["张伟去了北京。", "", "李华" * 20, "😀"]
    lines = [json.dumps({"text": text}) for text in texts]
    (tmp_path / "a.jsonl").write_text("\n".join([*lines, "{broken"]), encoding="utf-8")
    files, options = [str(tmp_path / "a.jsonl")], PredictOptions()
    answers = list(run.task.predict(run, files, options, lambda error: None))
    assert [answer.size for answer in answers] == [7, 40, 1]
    assert run.task.size(run, files, options) == 48
    assert run.task.size(run, files, options, answers[0].key) == 41
    assert run.task.size(run, [*files, "-"], options) is None


def test_evaluate_tells_of_each_document(run, tmp_path):
    (tmp_path / "a.conll").write_text("张 B-PER\n伟 I-PER\n去 O\n\n李 B-PER\n华 I-PER\n", encoding="utf-8")
    files, options, sizes = [str(tmp_path / "a.conll")], PredictOptions(), []
    metrics = run.task.evaluation(run, files, options, reviewed=False, on_answer=sizes.append).metrics
    assert sizes == [3, 2]
    assert run.task.labelled_size(run, files, options) == metrics["characters"] == 5
    assert run.task.evaluation(run, files, options, reviewed=True, on_answer=sizes.append).metrics == metrics
    assert sizes == [3, 2, 3, 2]


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_commands_tell_the_time_left_in_a_terminal(run, tmp_path, monkeypatch, command):
    (tmp_path / "a.conll").write_text("张 B-PER\n伟 I-PER\n\n" * 3, encoding="utf-8")
    output = tmp_path / "out.json"
    terminal, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    process = begun_command(command, run.folder, tmp_path / "a.conll", "-o", output, output=theirs, errors=theirs)
    os.close(theirs)
    shown = b""
    # Linux ends a terminal with an error.
    with suppress(OSError):
        while read := os.read(terminal, 4096):
            shown += read
    os.close(terminal)
    assert ended(process) == 0, shown.decode()
    assert "left" in shown.decode()
    assert output.exists()
