"""Tables of answers: for spreadsheets, and with the columns of the input."""

import csv
import json

import pytest

from tests.cli.test_cli import _written, reformer
from tests.tiny import reviews_recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A classifier."""
    folder = tmp_path_factory.mktemp("runs")
    reformer("train", _written(reviews_recipe(folder), folder / "reviews.toml"), "-o", folder / "run")
    return folder / "run"


def _table(path, encoding="utf-8"):
    return list(csv.DictReader(path.read_text(encoding=encoding).splitlines()))


def test_other_columns_are_kept(run, tmp_path):
    (tmp_path / "in.csv").write_text("id,text,label,when,=sum\n7,很好,pos,=1+1,\n8,太差,,-2,x\n", encoding="utf-8")
    reformer("predict", run, tmp_path / "in.csv", "-o", tmp_path / "out.csv", "--keep-columns", "--no-scores")
    rows = _table(tmp_path / "out.csv")
    assert list(rows[0]) == ["id", "text", "label", "score", "input_label", "when", "=sum"]
    assert [(row["id"], row["input_label"], row["when"], row["=sum"]) for row in rows] == [
        ("7", "pos", "=1+1", ""),
        ("8", "", "-2", "x"),
    ]
    command = ("predict", run, tmp_path / "in.csv", "-o", tmp_path / "excel.csv", "--keep-columns", "--excel")
    reformer(*command)
    assert (tmp_path / "excel.csv").read_bytes().startswith(b"\xef\xbb\xbfid,text")
    rows = _table(tmp_path / "excel.csv", "utf-8-sig")
    assert [(row["when"], row["'=sum"]) for row in rows] == [("'=1+1", ""), ("'-2", "x")]


def test_fields_of_json_are_kept_as_they_are(run, tmp_path):
    record = {"text": "很好", "id": 3, "label": "pos", "meta": {"a": [1, None]}, "score": 0.5, "n": 1}
    (tmp_path / "in.jsonl").write_text(json.dumps(record), encoding="utf-8")
    [line] = reformer("predict", run, tmp_path / "in.jsonl", "--keep-columns").stdout.splitlines()
    answer = json.loads(line)
    kept = {"input_label": "pos", "meta": {"a": [1, None]}, "input_score": 0.5, "n": 1}
    assert {name: answer[name] for name in kept} == kept
    assert list(answer)[:5] == ["id", "text", "label", "score", "scores"]
    assert not set(kept) & set(json.loads(reformer("predict", run, tmp_path / "in.jsonl").stdout))


def test_two_columns_that_would_have_one_name_are_refused(run, tmp_path):
    (tmp_path / "in.csv").write_text("text,label,input_label\n很好,pos,x\n", encoding="utf-8")
    result = reformer("predict", run, tmp_path / "in.csv", "--keep-columns", status=1)
    assert "in.csv:2: the column 'label' has the name of a field of the answer" in result.stderr


def test_formats_without_columns_and_outputs_that_are_no_tables_are_refused(run, tmp_path):
    (tmp_path / "in.txt").write_text("很好", encoding="utf-8")
    result = reformer("predict", run, tmp_path / "in.txt", "--keep-columns", status=1)
    assert "leave out --keep-columns" in result.stderr
    for output in ((), ("-o", tmp_path / "out.jsonl")):
        assert (
            "--excel is for tables"
            in reformer("predict", run, tmp_path / "in.txt", *output, "--excel", status=1).stderr
        )


def test_a_table_for_excel_goes_on(run, tmp_path, monkeypatch):
    from reformer.inference import begun_answers

    (tmp_path / "in.csv").write_text("text\n很好\n太差\n退货\n", encoding="utf-8")
    command = ("predict", run, tmp_path / "in.csv", "--excel", "-o")
    reformer(*command, tmp_path / "whole.csv")
    write = begun_answers.Answers.write

    def ending(self, key, data):
        if self.count == 1:
            raise KeyboardInterrupt
        write(self, key, data)

    monkeypatch.setattr(begun_answers.Answers, "write", ending)
    reformer(*command, tmp_path / "out.csv", status=130)
    monkeypatch.undo()
    reformer(*command, tmp_path / "out.csv", "--resume")
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
