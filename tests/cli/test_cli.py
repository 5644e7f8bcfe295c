"""The commands end to end, and one clear message for everything that can be wrong."""

import csv
import json
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from reformer.cli import app
from reformer.data import read_documents
from reformer.runs.recipe_file import write_recipe
from reformer.tasks.recipe_checks import checked_recipe
from tests.processes import begun_command, ended
from tests.tiny import ner_recipe, reviews_recipe, write_conll

RUNNER = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})


def reformer(*arguments: object, status: int = 0):
    """Run a command; whatever it answers, it never answers with a traceback."""
    result = RUNNER.invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result


def _written(tables: dict, path):
    write_recipe(checked_recipe(tables), path)
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A labeller and a classifier, trained by the command."""
    folder = tmp_path_factory.mktemp("runs")
    for name, tables in (("ner", ner_recipe(folder, max_steps=40)), ("reviews", reviews_recipe(folder))):
        recipe = _written(tables, folder / f"{name}.toml")
        reformer("train", recipe, "--output", folder / name, "--set", "training.logging_steps=1")
    return folder


def test_a_trained_labeller_is_measured_used_and_shown(runs, tmp_path):
    result = reformer("evaluate", runs / "ner", runs / "test.conll", "--output", tmp_path / "scores.json")
    assert "f1" in result.stdout
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["f1"] == json.loads((runs / "ner/metrics.json").read_text())["test"]["f1"] > 0.9

    reformer("predict", runs / "ner", runs / "test.conll", "-o", tmp_path / "out.jsonl")
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    documents = list(read_documents(runs / "test.conll"))
    assert [record["id"] for record in records] == [document.id for document in documents]
    for record, document in zip(records, documents, strict=True):
        assert record["text"] == document.text
        assert record["spans"]
        for span in record["spans"]:
            assert record["text"][span["start"] : span["end"]] == span["text"]

    shown = reformer("show", runs / "ner", runs / "test.conll").stdout
    assert "entities found" in shown
    assert "PER" in shown


def test_a_trained_classifier_is_measured_used_and_shown(runs):
    assert "accuracy" in reformer("evaluate", runs / "reviews", runs / "reviews.csv").stdout
    lines = reformer("predict", runs / "reviews", runs / "reviews.csv", "--no-text").stdout.splitlines()
    record = json.loads(lines[0])
    assert len(lines) == 80
    assert record["label"] in ("pos", "neg")
    assert sum(record["scores"].values()) == pytest.approx(1)
    assert "text" not in record
    assert "%" in reformer("show", runs / "reviews", runs / "reviews.csv", "--number", 3).stdout


def test_confident_answers_alone_are_given(runs, tmp_path):
    plain = [json.loads(line) for line in reformer("predict", runs / "ner", runs / "test.conll").stdout.splitlines()]
    scores = sorted(span["score"] for record in plain for span in record["spans"])
    assert 0 < scores[0] < scores[-1] <= 1
    least = scores[len(scores) // 2]
    few = reformer("predict", runs / "ner", runs / "test.conll", "--min-confidence", least).stdout.splitlines()
    for record, line in zip(plain, few, strict=True):
        kept = [span for span in record["spans"] if span["score"] >= least]
        assert [span["text"] for span in json.loads(line)["spans"]] == [span["text"] for span in kept]
    answers = reformer(
        "predict", runs / "reviews", runs / "reviews.csv", "--min-confidence", 1, "--no-scores", "--no-text"
    )
    for line in answers.stdout.splitlines():
        record = json.loads(line)
        assert record.keys() == {"id", "label", "score"}
        assert (record["label"] is None) == (record["score"] < 1)
    assert "the scores are not calibrated: the validation part has 4 answers" in answers.stderr
    table = tmp_path / "table.csv"
    reformer("predict", runs / "reviews", runs / "reviews.csv", "--min-confidence", 1, "--no-scores", "-o", table)
    with table.open(encoding="utf-8", newline="") as file:
        assert {row["label"] for row in csv.DictReader(file)} <= {"", "pos", "neg"}
    refused = reformer("predict", runs / "ner", runs / "test.conll", "--no-scores", status=1)
    assert "--scores means nothing" in refused.output


def test_a_report_is_written_for_a_labelled_file(runs, tmp_path):
    for name, data, shown in (("ner", "test.conll", "PER"), ("reviews", "reviews.csv", "pos")):
        page = tmp_path / f"{name}.html"
        reformer("evaluate", runs / name, runs / data, "--html", page)
        text = page.read_text(encoding="utf-8")
        assert f"<h2>{runs / data}</h2>" in text
        assert shown in text
        refused = reformer("evaluate", runs / name, runs / data, "--html", page, status=1)
        assert "this exists already" in refused.output
        reformer("evaluate", runs / name, runs / data, "--html", page, "--overwrite")
        assert (runs / name / "report.html").read_text(encoding="utf-8").count("data:image/png;base64,") == 1
    output = ("--html", tmp_path / "x", "-o", tmp_path / "x")
    assert "same file" in reformer("evaluate", runs / "ner", runs / "test.conll", *output, status=1).output
    own = runs / "ner" / "report.html"
    assert (
        "which it would overwrite"
        in reformer("evaluate", runs / "ner", runs / "test.conll", "--html", own, "--overwrite", status=1).output
    )


def test_a_broken_calibration_is_refused(runs, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(runs / "ner", folder)
    for broken in ("{", '{"temperature": 0.0, "reason": null, "thresholds": {}}', '{"temperature": NaN}', "[]"):
        (folder / "calibration.json").write_text(broken)
        told = reformer("predict", folder, runs / "test.conll", status=1).output
        assert "calibration.json" in told
    (folder / "calibration.json").unlink()
    told = reformer("predict", folder, runs / "test.conll").stderr
    assert "not calibrated: the run was trained by a version that fitted none" in told


def test_answers_can_be_a_table(runs, tmp_path):
    reformer("predict", runs / "reviews", runs / "reviews.csv", "-o", tmp_path / "answers.csv")
    with (tmp_path / "answers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 80
    assert json.loads(rows[0]["scores"]).keys() == {"neg", "pos"}


def test_text_that_a_spreadsheet_would_compute_is_quoted_by_choice(runs, tmp_path):
    texts = ['=HYPERLINK("http://evil","x")', "+1+1", "@SUM(1)", "-2+3|cmd", "\t=1", "很好"]
    with (tmp_path / "inj.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in texts)])
    for options, expected in (([], texts), (["--excel"], [*("'" + text for text in texts[:5]), texts[5]])):
        out = tmp_path / f"out{len(options)}.csv"
        reformer("predict", runs / "reviews", tmp_path / "inj.csv", "-o", out, *options)
        with out.open(encoding="utf-8", newline="") as file:
            assert [row["text"] for row in csv.DictReader(file)] == expected


def test_classes_that_look_like_markup_are_classes(tmp_path):
    tables = reviews_recipe(tmp_path, max_steps=2, epochs=None, num_evaluations=1)
    rows = [f"{'好' if number % 2 else '大'}{number},{'[red]x' if number % 2 else '[/b]'}" for number in range(40)]
    (tmp_path / "reviews.csv").write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    tables["data"]["test"] = tables["data"]["train"]
    del tables["training"]["epochs"]
    trained = reformer("train", _written(tables, tmp_path / "a.toml"), "-o", tmp_path / "run")
    shown = reformer("evaluate", tmp_path / "run", tmp_path / "reviews.csv").stdout
    for label in ("[/b]", "[red]x"):
        assert f"{label}_f1" in trained.stderr
        assert f"{label}_f1" in shown


def test_show_writes_no_control_of_a_document(runs, tmp_path):
    text = "\x1b]0;TITLE\x07\x1b[2J\x1b[31m王小明去了北京\x9b31m \x1b]52;c;ZXZpbA==\x07"
    spans = [{"start": 0, "end": 3, "label": "L\x1b[1mOC"}]
    for name, record in (
        ("bracket", {"id": "[/b]", "text": "王小明去了北京"}),
        ("esc", {"id": "x\x1b[31m\nID", "text": text, "spans": spans}),
    ):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    assert reformer("show", runs / "ner", tmp_path / "bracket.jsonl").stdout.startswith("[/b]: 7 characters\n")
    shown = reformer("show", runs / "ner", tmp_path / "esc.jsonl").stdout
    assert shown.startswith(f"x\\u001b[31m\\u000aID: {len(text)} characters\n")
    assert "\\u001b[2J" in shown
    assert "L\\u001b[1mOC" in shown
    assert not {"\x1b", "\x07", "\x9b"} & set(shown)


def test_errors_write_no_control_of_a_file_name(runs, tmp_path):
    result = reformer("predict", runs / "ner", tmp_path / "a\x1b[2J[/b].jsonl", status=1)
    assert "a\\u001b[2J[/b].jsonl: there is no such file" in result.stderr
    assert "\x1b" not in result.stderr


# The second turns the text around, which typer leaves to the terminal.
@pytest.mark.parametrize("control", ["\x1b[2J", "\u202e", "\x9b31m"])
@pytest.mark.parametrize(
    ("arguments", "is_shown"),
    [
        (("predict", "run", "file", "--{}"), True),
        (("predict", "run", "file", "--beams", "{}"), False),
        (("predict", "run", "file", "{}", "--beams"), False),
        (("{}",), True),
        (("data", "{}"), True),
        (("data", "fetch", "name", "{}"), True),
    ],
)
def test_usage_errors_write_no_control_of_an_option(arguments, is_shown, control):
    result = reformer(*(argument.format(control) for argument in arguments), status=2)
    assert "Error" in result.stderr
    assert control[0] not in result.output
    if is_shown:
        assert f"{ord(control[0]):x}{control[1:]}" in result.stderr


def test_a_traceback_of_our_own_mistake_writes_no_control(tmp_path, monkeypatch):
    def broken(*given):
        raise RuntimeError("a\x1b[2Jb [/b]")

    monkeypatch.setattr("reformer.runs.loading.load_run", broken)
    with (tmp_path / "said").open("wb") as said:
        process = begun_command("predict", "run", "file", output=said.fileno(), errors=said.fileno())
    assert ended(process) == 1
    told = (tmp_path / "said").read_text(encoding="utf-8")
    assert "RuntimeError: a\\u001b[2Jb [/b]" in told
    assert "\x1b" not in told


def test_what_means_nothing_to_a_task_is_refused(runs, tmp_path):
    result = reformer("predict", runs / "ner", runs / "test.conll", "--pictures", tmp_path, status=1)
    assert "--pictures means nothing to a run that has learned token-classification" in result.stderr


def test_a_field_is_put_over_the_recipe(runs, tmp_path):
    reformer("train", runs / "ner.toml", "-o", tmp_path / "run", "--set", "training.max_steps=1")
    assert json.loads((tmp_path / "run/metrics.json").read_text())["training"]["steps"] == 1


def test_a_bad_document_is_reported_and_the_others_are_answered(runs, tmp_path):
    (tmp_path / "mixed.jsonl").write_text('{"text": "张伟去了北京"}\nnot json\n{"text": "李华"}\n', encoding="utf-8")
    files = [tmp_path / "mixed.jsonl", tmp_path / "missing.txt", runs / "test.conll"]
    result = reformer("predict", runs / "ner", *files, "-o", tmp_path / "out.jsonl", status=1)
    assert "mixed.jsonl:2" in result.stderr
    assert "missing.txt" in result.stderr
    assert "2 left out" in result.stderr
    assert len((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()) == 2 + 8


def test_a_document_over_the_maximum_is_reported_and_the_next_is_read(runs, tmp_path):
    reformer(
        *("train", runs / "ner.toml", "-o", tmp_path / "run", "--set", "training.max_steps=1"),
        *("--set", "model.max_position_embeddings=70"),
    )
    (tmp_path / "long.csv").write_text(f"text\n{'北' * 71}\n{'北' * 70}\n", encoding="utf-8")
    result = reformer("predict", tmp_path / "run", tmp_path / "long.csv", status=1)
    assert "long.csv:2: this document has 71 tokens, and the model takes at most 70" in result.stderr
    assert len(result.stdout.splitlines()) == 1


def test_a_finished_output_is_not_written_over_unasked(runs, tmp_path):
    (tmp_path / "out.jsonl").write_text("dear\n", encoding="utf-8")
    arguments = ("predict", runs / "ner", runs / "test.conll", "-o", tmp_path / "out.jsonl")
    assert "exists already" in reformer(*arguments, status=1).stderr
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == "dear\n"
    reformer(*arguments, "--overwrite")


def _training(**data: str) -> list[str]:
    return [argument for field, value in data.items() for argument in ("--set", f"data.{field}={value}")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.conll", None, r"missing.conll"),
        ("empty.conll", b"", r"empty.conll"),
        ("latin.csv", "text,label\ncaf\xe9,pos\n".encode("latin-1"), r"latin.csv:2"),
        ("broken.jsonl", b'{"text": "a", "label": "b"}\n{"text": \n', r"broken.jsonl:2"),
        ("column.csv", b"words,label\na,b\n", r"column.csv"),
        ("overlap.jsonl", '{"text": "北京市", "spans": [{"start": 0, "end": 2, "label": "A"}, '
         '{"start": 1, "end": 3, "label": "A"}]}\n'.encode(), r"overlap.jsonl:1"),
        ("outside.jsonl", '{"text": "北京", "spans": [{"start": 0, "end": 9, "label": "A"}]}\n'.encode(),
         r"outside.jsonl:1"),
        ("tags.conll", "北 X-LOC\n京 Q\n".encode(), r"tags.conll:1"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_bad_file_is_one_message_with_its_place(runs, tmp_path, command, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    if command == "train":
        result = reformer("train", runs / "ner.toml", "-o", tmp_path / "run", *_training(train=path), status=1)
        assert not (tmp_path / "run").exists()
    else:
        result = reformer("evaluate", runs / "ner", path, status=1)
    assert message in result.stderr
    assert result.stdout == ""


def test_a_label_unseen_in_training_counts_as_missed_and_is_named(runs, tmp_path):
    path = write_conll(tmp_path / "planets.conll", 3)
    path.write_text(path.read_text(encoding="utf-8").replace("LOC", "PLANET"), encoding="utf-8")
    result = reformer("evaluate", runs / "ner", path)
    assert "unknown/PLANET" in result.stdout
    assert "the model does not know 'PLANET', which is right 3 times and counts as missed" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message", "status"),
    [
        (("train", "{tmp}/none.toml"), "there is no such recipe", 1),
        (("train", "{runs}/ner.toml", "--set", "training.epoch=3"), "did you mean epochs?", 1),
        (("train", "{runs}/ner.toml", "--set", "training.seed=x"), "expected a valid integer", 1),
        (("train", "{runs}/ner.toml", "-o", "{runs}/ner"), "exists already", 1),
        (("train", "{runs}/ner.toml", "-o", "{runs}/ner", "--resume"), "this run is finished", 1),
        (("train", "{runs}/ner.toml", "--resume", "--overwrite"), "give one of them", 2),
        (("train",), "Missing argument", 2),
        (("evaluate", "{tmp}/none", "a.csv"), "there is no such run folder", 1),
        (("predict", "{runs}", "a.csv"), "this run folder is incomplete: it has no config.json, model.safeten", 1),
        (("show", "{runs}/ner", "{runs}/test.conll", "-n", "99"), "there is no document number 99", 1),
        (("data", "fetch", "nonsense"), "nonsense", 1),
        (("evaluate", "{runs}/ner", "index:nonsense"), "nonsense", 1),
        (("predict", "{runs}/ner", "{runs}/test.conll", "--format", "pdf"), "pdf", 1),
        (("predict", "{runs}/ner", "{runs}/test.conll", "-o", "{tmp}/no/such/out.jsonl"), "no/such/out.jsonl", 1),
    ],
)
def test_a_wrong_command_is_one_message(runs, tmp_path, arguments, message, status):
    filled = [argument.format(runs=runs, tmp=tmp_path) for argument in arguments]
    assert message in reformer(*filled, status=status).stderr


@pytest.mark.parametrize("damage", ["cut weights", "no tokenizer", "no weights"])
def test_a_damaged_run_folder_is_one_message(runs, tmp_path, damage):
    folder = tmp_path / "run"
    folder.mkdir()
    for file in (runs / "ner").iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    weights = folder / "model.safetensors"
    if damage == "cut weights":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "no weights":
        weights.unlink()
    else:
        (folder / "tokenizer.json").unlink()
    expected = "its model cannot be loaded" if damage == "cut weights" else "this run folder is incomplete"
    assert expected in reformer("predict", folder, runs / "test.conll", status=1).stderr


def test_env_and_data_list_tell_what_is_here():
    assert "torch" in reformer("env").stdout
    assert "people-daily" in reformer("data", "list").stdout


def test_env_tells_reasons_as_they_are(monkeypatch):
    monkeypatch.setattr("reformer.ops.gpu.why_unavailable", lambda: "pip install 'reformer-torch[gpu]'")
    assert "not available: pip install 'reformer-torch[gpu]'" in reformer("env").stdout


def test_help_imports_nothing_heavy():
    script = (
        "import sys\nfrom reformer.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'transformers', 'numpy', 'pydantic') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "predict" in found.stdout
    assert found.stdout.splitlines()[-1] == "[]"


def test_the_package_runs_as_a_module():
    found = subprocess.run([sys.executable, "-m", "reformer", "--help"], capture_output=True, text=True, check=True)
    assert "evaluate" in found.stdout
