"""`predict --resume`: a prediction that was killed goes on, and its output is that of one that was not, bit for bit."""

import json
import os
import signal

import pytest

from reformer.inference import begun_answers
from tests.cli.test_cli import _written, reformer
from tests.processes import begun_command, ended
from tests.tiny import ner_recipe, pairs_recipe, reviews_recipe, series_recipe


def _killed_at(writes: int) -> None:
    """Be killed in the middle of the last of so many writes."""
    write, left = begun_answers._write_all, [writes]

    def writing(file, data):
        left[0] -= 1
        if not left[0]:
            file.write(data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        write(file, data)

    begun_answers._write_all = writing


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each kind that predicts for texts and series."""
    folder = tmp_path_factory.mktemp("runs")
    recipes = {"labels": ner_recipe, "classes": reviews_recipe, "pairs": pairs_recipe, "series": series_recipe}
    for name, recipe in recipes.items():
        (folder / name).mkdir()
        given = recipe(folder / name, **({} if name == "classes" else {"max_steps": 1}))
        reformer("train", _written(given, folder / f"{name}.toml"), "-o", folder / name / "run")
    return folder


def _texts(folder):
    lines = [json.dumps({"text": "张伟去了北京。" * (1 + number % 5), "id": f"a{number}"}) for number in range(40)]
    lines[7] = "{broken"
    (folder / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "b.jsonl").write_text("\n".join(lines[20:]), encoding="utf-8")
    return folder / "a.jsonl", folder / "b.jsonl"


# A write is a line of the journal or an answer; the first two are the journal's.
@pytest.mark.parametrize(("name", "writes"), [("out.jsonl", 20), ("out.csv", 91)])
def test_a_killed_prediction_goes_on(runs, tmp_path, name, writes):
    run, files = runs / "labels/run", _texts(tmp_path)
    reformer("predict", run, *files, "-o", tmp_path / f"whole-{name}", status=1)
    arguments = [str(argument) for argument in ("predict", run, *files, "-o", tmp_path / name)]
    with open(os.devnull, "wb") as nowhere:
        told = {"output": nowhere.fileno(), "errors": nowhere.fileno()}
        killed = begun_command(*arguments, **told, before=lambda: _killed_at(writes))
    assert ended(killed) == -signal.SIGKILL
    kept = (tmp_path / f"{name}.partial").read_bytes()
    assert kept
    assert not (tmp_path / name).exists()
    assert "--resume to go on" in reformer(*arguments, status=1).stderr
    result = reformer(*arguments, "--resume", status=1)
    assert "1 left out" in result.stderr
    whole = (tmp_path / name).read_bytes()
    assert whole == (tmp_path / f"whole-{name}").read_bytes()
    assert whole.startswith(kept[: kept.rindex(b"\n") + 1])
    assert not [other for other in os.listdir(tmp_path) if ".partial" in other]


@pytest.fixture
def ended_after(monkeypatch):
    """Has the next prediction end after so many answers, as by an error; returns the keys that are made then."""

    class EndedError(Exception):
        pass

    made = []
    write = begun_answers.Answers.write

    def end_after(count):
        def stopping(self, key, data):
            if self.count == count:
                raise EndedError
            made.append(key)
            write(self, key, data)

        monkeypatch.setattr(begun_answers.Answers, "write", stopping)

    end_after.made = made
    end_after.error = EndedError
    return end_after


@pytest.mark.parametrize(
    ("kind", "data", "count"),
    [("classes", "reviews.csv", 30), ("pairs", "train.tsv", 5), ("series", "series.csv", 3)],
)
def test_every_task_goes_on(runs, tmp_path, ended_after, kind, data, count):
    place = runs / kind
    data = place / data
    whole, output = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    reformer("predict", place / "run", data, "-o", whole)
    ended_after(count)
    with pytest.raises(ended_after.error):
        reformer("predict", place / "run", data, "-o", output, status=1)
    ended_after(-1)
    before = len(ended_after.made)
    reformer("predict", place / "run", data, "-o", output, "--resume")
    assert output.read_bytes() == whole.read_bytes()
    lines = whole.read_bytes().splitlines()
    assert len(ended_after.made) == len(lines)
    assert before == count


def test_another_request_is_refused(runs, tmp_path, ended_after):
    run, files = runs / "labels/run", _texts(tmp_path)
    command = ("predict", run, *files, "-o", tmp_path / "out.jsonl")
    ended_after(3)
    with pytest.raises(ended_after.error):
        reformer(*command, status=1)
    ended_after(-1)
    go_on = (*command, "--resume")
    assert "--min-confidence was not given and is 0.5" in reformer(*go_on, "--min-confidence", 0.5, status=1).stderr
    fewer = ("predict", run, files[0], "-o", tmp_path / "out.jsonl", "--resume")
    assert "the list of inputs was" in reformer(*fewer, status=1).stderr
    with files[1].open("a", encoding="utf-8") as file:
        file.write('\n{"text": "更多"}')
    assert f"the input {files[1]} has changed since" in reformer(*go_on, status=1).stderr
    assert len((tmp_path / "out.jsonl.partial").read_text(encoding="utf-8").splitlines()) == 3
    reformer(*command, "--overwrite", status=1)
    assert not [other for other in os.listdir(tmp_path) if ".partial" in other]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((), "name it with --output"), (("-o", "/dev/null"), "a folder, a device or a pipe")],
)
def test_what_cannot_go_on_is_refused(runs, tmp_path, arguments, message):
    files = _texts(tmp_path)
    assert message in reformer("predict", runs / "labels/run", *files, *arguments, "--resume", status=1).stderr


def test_pictures_are_drawn_with_all_forecasts(runs, tmp_path):
    arguments = ("predict", runs / "series/run", runs / "series/series.csv", "-o", tmp_path / "out.csv", "--resume")
    assert "leave out one of them" in reformer(*arguments, "--pictures", tmp_path / "drawn", status=1).stderr
