"""The command: what it measures, where it writes, and what stays when it is interrupted."""

import json

import pytest

from benchmarks import results, run
from benchmarks.registry import CASES


def test_every_case_is_whole():
    for case in CASES.values():
        names = [contender.name for contender in case.contenders]
        assert len(set(names)) == len(names)
        assert case.question.endswith("?")
        assert set(case.quick_lengths)
        for contender in case.contenders:
            assert any(contender.reaches(length, action) for length in case.lengths for action in case.actions)


def test_a_part_of_a_case_is_measured_and_written(tmp_path, capsys):
    arguments = ["crossover", "--lengths", "128", "--only", "full", "--repeats", "1", "--seconds", "1"]
    assert run.main([*arguments, "--threads", "1", "--output", str(tmp_path)]) == 0
    found = results.load("crossover", tmp_path)
    assert found is not None
    assert [(row["contender"], row["length"], row["action"]) for row in found["rows"]] == [
        ("full attention", 128, "forward"),
        ("full attention", 128, "forward+backward"),
    ]
    assert found["machine"]["threads"] == 1
    assert found["machine"]["command"].startswith("python -m benchmarks.run crossover --lengths 128")
    assert found["machine"]["versions"]["torch"]
    assert not (tmp_path / "crossover.partial.json").exists()
    assert "full attention" in capsys.readouterr().out


def test_an_interrupted_run_keeps_what_it_measured_and_what_was_there(tmp_path, monkeypatch, capsys):
    (tmp_path / "crossover.json").write_text('{"whole": true}')

    def interrupted(self, case, contenders, length, effort):
        from benchmarks.turns import Row

        yield Row(contenders[0], length, "forward", seconds=[1.0], cpu_seconds=[1.0])
        raise KeyboardInterrupt

    monkeypatch.setattr(run.Workshop, "measure", interrupted)
    monkeypatch.setattr(run.Workshop, "check", lambda self, case, contender: (True, "seen"))
    assert run.main(["crossover", "--output", str(tmp_path)]) == run.INTERRUPTED
    assert json.loads((tmp_path / "crossover.json").read_text()) == {"whole": True}
    kept = json.loads((tmp_path / "crossover.partial.json").read_text())
    assert [row["median_seconds"] for row in kept["rows"]] == [1.0]
    assert "what was measured is in" in capsys.readouterr().out


def test_a_broken_contract_is_not_measured_and_fails_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(run.Workshop, "check", lambda self, case, contender: (False, "it is wrong"))
    assert run.main(["crossover", "--lengths", "128", "--output", str(tmp_path)]) == 1
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.parametrize(
    ("arguments", "whole"),
    [([], True), (["--all"], True), (["attention"], True), (["--quick"], False), (["--lengths", "4k"], False)],
)
def test_only_whole_cases_replace_the_documented_results(arguments, whole):
    assert run._is_whole(run._parser().parse_args(arguments)) is whole


def test_lengths_have_units():
    assert run._parser().parse_args(["--lengths", "128", "4k", "1M"]).lengths == [128, 4096, 1 << 20]


def test_the_long_case_is_measured_only_when_named():
    assert "crf" not in [case.name for case in run._cases(run._parser().parse_args(["--all"]))]
    assert [case.name for case in run._cases(run._parser().parse_args(["crf"]))] == ["crf"]


def test_an_interrupted_run_goes_on_where_it_was(tmp_path, monkeypatch):
    arguments = ["crossover", "--lengths", "128", "256", "--only", "full", "--output", str(tmp_path)]
    measured = []

    def measure(self, case, contenders, length, effort):
        from benchmarks.turns import Row

        for action in case.actions:
            if len(measured) == 1 and length == 256:
                measured.append("interrupted")
                raise KeyboardInterrupt
            yield Row(contenders[0], length, action, seconds=[1.0], cpu_seconds=[1.0])
        measured.append(length)

    monkeypatch.setattr(run.Workshop, "measure", measure)
    monkeypatch.setattr(run.Workshop, "check", lambda self, case, contender: (True, "seen"))
    assert run.main(arguments) == run.INTERRUPTED
    assert run.main([*arguments, "--resume"]) == 0
    assert measured == [128, "interrupted", 256]
    found = results.load("crossover", tmp_path)
    assert [(row["length"], row["action"]) for row in found["rows"]] == [
        (length, action) for length in (128, 256) for action in ("forward", "forward+backward")
    ]
    assert len(found["resumed"]) == 1


def test_what_does_not_fit_is_written_down_and_not_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "refusal", lambda *given: "does not fit")
    monkeypatch.setattr(run.Workshop, "check", lambda self, case, contender: (True, "seen"))
    arguments = ["length", "--quick", "--only", "ours", "--output", str(tmp_path)]
    assert run.main(arguments) == 0
    found = results.load("length", tmp_path)
    assert {row["skipped"] for row in found["rows"]} == {"does not fit"}
    assert "does not fit" in capsys.readouterr().out


def test_lengths_may_be_powers_of_ten():
    assert run._parser().parse_args(["--lengths", "1e5", "1e9"]).lengths == [10**5, 10**9]


def test_translation_is_not_begun_without_its_pairs(tmp_path, capsys):
    for given in ([], ["--pairs", str(tmp_path / "none.tsv")]):
        with pytest.raises(SystemExit):
            run.main(["translation", *given])
        assert "give the TSV that `python -m benchmarks.help_pairs` writes" in capsys.readouterr().err
