"""Answers that are begun, interrupted at any byte, and gone on with."""

import json
import os

import pytest

from reformer.errors import ReformerError
from reformer.files import UNFINISHED
from reformer.inference import begun_answers as module
from reformer.inference.begun_answers import ResumeError, begun_answers

LINES = [f'{{"id": {number}}}\n'.encode() for number in range(5)]
WHOLE = b"".join(LINES)


class _EndedError(Exception):
    """An end in the middle."""


def _write(output, request="a", *, until=5, **options):
    with begun_answers(output, {"--beams": request}, **({"overwrite": False, "resume": False} | options)) as answers:
        first = 0 if answers.after is None else answers.after[1] + 1
        for number in range(first, until):
            answers.write((0, number), LINES[number])
        if until < 5:
            raise _EndedError
    return first


def _begin(output, until=3, request="a"):
    with pytest.raises(_EndedError):
        _write(output, request, until=until)


def test_answers_appear_when_they_are_whole(tmp_path):
    output = tmp_path / "out.jsonl"
    _write(output)
    assert output.read_bytes() == WHOLE
    assert os.listdir(tmp_path) == ["out.jsonl"]


@pytest.mark.parametrize("cut", range(1, 12, 3))
@pytest.mark.parametrize("what", ["out.jsonl.partial", "out.jsonl.partial.journal"])
def test_answers_that_are_cut_anywhere_are_made_again(tmp_path, what, cut):
    output = tmp_path / "out.jsonl"
    _begin(output)
    place = tmp_path / what
    place.write_bytes(place.read_bytes()[:-cut])
    assert _write(output, resume=True) < 3
    assert output.read_bytes() == WHOLE
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_an_answer_that_did_not_reach_the_disk_is_made_again(tmp_path):
    output = tmp_path / "out.jsonl"
    _begin(output)
    partial = tmp_path / "out.jsonl.partial"
    partial.write_bytes(partial.read_bytes()[: -len(LINES[0])] + bytes(len(LINES[0])))
    assert _write(output, resume=True) == 2
    assert output.read_bytes() == WHOLE


def test_an_end_after_the_last_step_is_found_finished(tmp_path, monkeypatch):
    output = tmp_path / "out.jsonl"
    monkeypatch.setattr(module, "remove_file", lambda place: None)
    _write(output)
    monkeypatch.undo()
    assert sorted(os.listdir(tmp_path)) == ["out.jsonl", "out.jsonl.partial.journal"]
    assert _write(output, resume=True) == 5
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_nothing_that_was_begun_is_thrown_away_unasked(tmp_path):
    output = tmp_path / "out.jsonl"
    _begin(output)
    with pytest.raises(ResumeError, match=r"3 answers are here of a prediction that.*--resume.*--overwrite"):
        _write(output)
    assert (tmp_path / "out.jsonl.partial").read_bytes() == b"".join(LINES[:3])
    assert _write(output, overwrite=True) == 0


def test_another_request_is_refused_and_named(tmp_path):
    output = tmp_path / "out.jsonl"
    _begin(output)
    with pytest.raises(ResumeError, match='--beams was "a" and is "b", since this was begun'):
        _write(output, "b", resume=True)
    with pytest.raises(ResumeError, match="--beams was"):
        _write(output, None, resume=True)


def test_digests_are_no_news_for_users(tmp_path):
    output = tmp_path / "out.jsonl"
    _begin(output, request="0" * 64)
    with pytest.raises(ResumeError, match="--beams has changed since"):
        _write(output, "1" * 64, resume=True)


def test_a_file_of_the_user_in_the_way_stays(tmp_path):
    (tmp_path / "out.jsonl.partial").write_text("dear", encoding="utf-8")
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(ResumeError, match="rename or delete it"):
            _write(tmp_path / "out.jsonl", **options)
    assert (tmp_path / "out.jsonl.partial").read_text(encoding="utf-8") == "dear"


def test_a_file_at_the_output_is_replaced_only_if_asked(tmp_path):
    output = tmp_path / "out.jsonl"
    output.write_text("dear", encoding="utf-8")
    with pytest.raises(ReformerError, match="exists already"):
        _write(output, resume=True)
    with pytest.raises(_EndedError):
        _write(output, until=2, overwrite=True)
    assert output.read_text(encoding="utf-8") == "dear"
    with pytest.raises(ReformerError, match="exists already"):
        _write(output, resume=True)
    assert _write(output, resume=True, overwrite=True) == 2
    assert output.read_bytes() == WHOLE


def test_what_another_process_writes_is_left_alone(tmp_path):
    output = tmp_path / "out.jsonl"
    _begin(output)
    journal = tmp_path / "out.jsonl.partial.journal"
    with journal.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"process": "elsewhere-1-2"}) + "\n")
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(ResumeError, match="another process is writing this"):
            _write(output, **options)


@pytest.mark.parametrize("lines", [0, 1])
def test_a_journal_that_did_not_reach_the_disk_stands_in_no_way(tmp_path, lines):
    output = tmp_path / "out.jsonl"
    _begin(output)
    journal = tmp_path / "out.jsonl.partial.journal"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:lines]))
    assert _write(output, resume=True) == 0
    assert output.read_bytes() == WHOLE
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_without_an_answer_nothing_is_left(tmp_path):
    _begin(tmp_path / "out.jsonl", until=0)
    assert os.listdir(tmp_path) == []
    assert not [name for name in os.listdir(tmp_path) if name.startswith(UNFINISHED)]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "out.jsonl").symlink_to("far/real.jsonl")
    _begin(tmp_path / "out.jsonl")
    assert _write(tmp_path / "out.jsonl", resume=True) == 3
    assert (tmp_path / "out.jsonl").is_symlink()
    assert (tmp_path / "far/real.jsonl").read_bytes() == WHOLE
