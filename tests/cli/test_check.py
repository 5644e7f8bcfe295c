"""`reformer data check`, and options of other commands for files that are not as they should be."""

import json

from tests.cli.test_cli import reformer


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


def test_a_page_that_is_the_file_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\n好,a\n", encoding="utf-8")
    reformer("data", "check", tmp_path / "a.csv", "--html", tmp_path / "a.csv", "--overwrite", status=1)
    assert (tmp_path / "a.csv").read_text(encoding="utf-8").startswith("text")
