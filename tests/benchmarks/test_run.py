"""The command: what it measures, where it writes, and what stays when it is interrupted."""

import json
from types import SimpleNamespace

import pytest
import torch

from benchmarks import machine, results, run
from benchmarks.registry import CASES
from benchmarks.turns import OutOfTimeError, Row
from reformer.errors import ReformerError
from reformer.ops import gpu


def test_every_case_is_whole():
    for name, case in CASES.items():
        names = [contender.name for contender in case.contenders]
        assert len(set(names)) == len(names)
        assert case.name == name
        assert case.question.endswith("?")
        assert case.requires is None or not CASES[case.requires].actions
        assert bool(case.quick_lengths) == bool(case.lengths) == bool(case.actions)
        for contender in case.contenders if case.actions else []:
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


@pytest.fixture
def measured(monkeypatch):
    """The measurements that were asked for, each of which takes a second; `raises` has exceptions by their place."""
    found = SimpleNamespace(asked=[], raises={}, keeps=lambda case, contender: True)

    def measure(self, case, wanted, length, effort):
        for name, actions in wanted.items():
            for action in actions:
                if len(found.asked) in found.raises:
                    raise found.raises.pop(len(found.asked))
                found.asked.append((name, length, action))
                yield Row(case.contender(name), length, action, seconds=[1.0], cpu_seconds=[1.0])

    def check(self, case, contender, effort):
        return found.keeps(case, contender), "seen"

    monkeypatch.setattr(run.Workshop, "measure", measure)
    monkeypatch.setattr(run.Workshop, "check", check)
    return found


@pytest.mark.parametrize("reason", [KeyboardInterrupt, OutOfTimeError])
def test_an_interrupted_run_keeps_what_it_measured_and_goes_on_from_there(tmp_path, measured, capsys, reason):
    (tmp_path / "crossover.json").write_text('{"whole": true}')
    arguments = ["crossover", "--lengths", "128", "256", "--only", "full", "--output", str(tmp_path)]
    measured.raises = {3: reason()}
    assert run.main(arguments) == run.INTERRUPTED
    assert "what was measured is in" in capsys.readouterr().out
    assert json.loads((tmp_path / "crossover.json").read_text()) == {"whole": True}
    kept = json.loads((tmp_path / "crossover.partial.json").read_text())
    assert [row["median_seconds"] for row in kept["rows"]] == [1.0] * 3
    assert run.main([*arguments, "--resume"]) == 0
    expected = [("full attention", length, action) for length in (128, 256) for action in CASES["crossover"].actions]
    assert measured.asked == expected
    found = results.load("crossover", tmp_path)
    assert [(row["contender"], row["length"], row["action"]) for row in found["rows"]] == expected
    assert len(found["resumed"]) == 1
    # Whole at this commit, there is nothing to go on with.
    assert run.main([*arguments, "--resume"]) == 0
    assert measured.asked == expected


def test_nothing_is_begun_when_the_time_is_over(tmp_path):
    assert run.main(["crossover", "--quick", "--minutes", "0", "--output", str(tmp_path)]) == run.INTERRUPTED


@pytest.mark.parametrize("name", ["card", "driver", "versions"])
def test_a_file_is_of_one_machine(tmp_path, name):
    header = {"case": "attention", "machine": {"card": "Card", "driver": "1", "versions": {"torch": "2"}}}
    results.ResultFile(tmp_path, header).write()
    results.ResultFile(tmp_path, header).resume()
    other = header | {"machine": header["machine"] | {name: "other"}}
    with pytest.raises(ReformerError, match=f"was measured with {name} .*give another --output"):
        results.ResultFile(tmp_path, other).resume()


def test_what_failed_is_tried_again_but_not_what_met_a_limit(tmp_path):
    header = {"case": "attention", "machine": {}}
    file = results.ResultFile(tmp_path, header)
    errors = ["out of memory", "took longer than the limit of 9 seconds", "Traceback"]
    for length, error in enumerate(errors):
        file.add({"contender": "ours", "length": length, "action": "forward", "error": error})
    again = results.ResultFile(tmp_path, header)
    again.resume()
    assert [again.has("ours", length, "forward") for length in range(3)] == [True, True, False]


def test_a_broken_contract_is_not_measured_and_fails_the_run(tmp_path, measured):
    measured.keeps = lambda case, contender: contender.family != "full"
    assert run.main(["crossover", "--lengths", "128", "--output", str(tmp_path)]) == 1
    assert {name for name, _, _ in measured.asked} == {"ours", "ours, 2 rounds", "ours, 4 rounds"}
    measured.keeps = lambda case, contender: False
    assert run.main(["eager", "--lengths", "128", "--output", str(tmp_path)]) == 1
    assert not (tmp_path / "eager.json").exists()


def test_a_contract_that_a_case_requires_stops_all_of_it(tmp_path, measured):
    measured.keeps = lambda case, contender: case.name != "gpu-contract"
    arguments = ["gpu-training-step", "--device", "cpu", "--output", str(tmp_path)]
    assert run.main(arguments) == 1
    assert not measured.asked
    measured.keeps = lambda case, contender: True
    assert run.main(arguments) == 0
    assert [length for _, length, _ in measured.asked] == [1 << 16, 1 << 20, 1 << 22]
    assert "kernels in float32" in results.load("gpu-training-step", tmp_path)["contracts"]


@pytest.mark.parametrize(
    ("arguments", "whole"),
    [
        ([], True),
        (["--all"], True),
        (["attention"], True),
        (["--device", "cuda"], True),
        (["gpu-attention"], True),
        (["--quick"], False),
        (["--lengths", "4k"], False),
        (["attention", "--device", "cuda"], False),
    ],
)
def test_only_whole_cases_replace_the_documented_results(arguments, whole):
    assert run._is_whole(run._parser().parse_args(arguments)) is whole


def test_lengths_have_units():
    given = run._parser().parse_args(["--lengths", "128", "4k", "1M", "1e9"])
    assert given.lengths == [128, 4096, 1 << 20, 10**9]


@pytest.mark.parametrize(
    ("arguments", "device"), [(["--all"], "cpu"), (["--device", "cpu"], "cpu"), (["--device", "cuda"], "cuda")]
)
def test_a_device_chooses_its_cases_without_the_long_ones(arguments, device):
    chosen = run._cases(run._parser().parse_args(arguments))
    assert chosen == [case for case in CASES.values() if case.device == device and not case.alone]
    assert [case.name for case in run._cases(run._parser().parse_args(["crf", *arguments]))] == ["crf"]


@pytest.mark.skipif(torch.cuda.is_available() or gpu.INTERPRETED, reason="there is something to measure")
def test_without_a_gpu_it_says_what_is_needed(tmp_path, capsys):
    assert run.main(["--device", "cuda", "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("torch sees no GPU, and gpu-contract measures one.")


def test_in_the_interpreter_nothing_is_timed(monkeypatch):
    monkeypatch.setattr(gpu, "INTERPRETED", True)
    monkeypatch.setattr(gpu, "MISSING", None)
    with pytest.raises(ReformerError, match="gpu-contract alone can be checked, not gpu-attention"):
        machine.device_for(CASES["gpu-attention"], None)
    assert machine.device_for(CASES["gpu-contract"], None) == "cpu"


def test_what_does_not_fit_is_written_down_and_not_run(tmp_path, measured, monkeypatch, capsys):
    monkeypatch.setattr(run, "refusal", lambda *given: "does not fit")
    assert run.main(["length", "--quick", "--only", "ours", "--output", str(tmp_path)]) == 0
    found = results.load("length", tmp_path)
    assert {row["skipped"] for row in found["rows"]} == {"does not fit"}
    assert "does not fit" in capsys.readouterr().out
    assert not measured.asked
    # Where more of the axis takes no more, nothing is foreseen.
    assert run.main(["pieces", "--quick", "--output", str(tmp_path)]) == 0
    assert len(measured.asked) == 1


def test_translation_is_not_begun_without_its_pairs(tmp_path, capsys):
    for given in ([], ["--pairs", str(tmp_path / "none.tsv")]):
        with pytest.raises(SystemExit):
            run.main(["translation", *given])
        assert "give the TSV that `python -m benchmarks.help_pairs` writes" in capsys.readouterr().err
