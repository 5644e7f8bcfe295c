"""What can be said of predictions on Ray without Ray: portions of files, the order of answers, and refusals."""

import pickle
import socket
import sys
from dataclasses import replace

import pytest

from reformer.errors import ReformerError
from reformer.inference import ray_engine, ray_workers
from reformer.inference.ray_workers import Answered, Foreman, Job, Portion, RunToRead, portions
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.predictions import InputFile, input_files
from reformer.tasks.recipe_checks import checked_recipe
from reformer.tasks.registry import TASKS
from tests.tiny import ner_recipe


@pytest.fixture
def job(tmp_path) -> Job:
    run = RunToRead(TASKS["token-classification"], checked_recipe(ner_recipe(tmp_path)))
    return Job(run, PredictOptions(), None, str(tmp_path))


def _file(tmp_path, texts) -> InputFile:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(texts), encoding="utf-8")
    return InputFile(str(path), 3, is_alone=False, has_namesake=False)


def test_a_file_is_its_portions(job, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_workers, "RECORDS_AT_A_TIME", 2)
    file = _file(tmp_path, ['{"text": "a"}', "{", '{"text": "b"}', '{"text": "c"}', '{"text": "d"}'])
    found = [pickle.loads(pickle.dumps(each)) for each in portions(file, job)]
    assert [each.number for each in found] == [0, 1, 2]
    assert [each.is_last for each in found] == [False, False, True]
    assert [[record.text for record in each.records] for each in found] == [["a", "b"], ["c", "d"], []]
    assert [str(error).partition(" broken")[0] for error in found[0].errors] == [f"{file.path}:2:"]
    assert found[1].records[0].origin.key == (3, 2)
    assert found[1].records[0].origin.file == file.path


def test_records_that_are_answered_already_are_passed_over(job, tmp_path):
    file = _file(tmp_path, [f'{{"text": "{number}"}}' for number in range(5)])
    [found] = portions(file, replace(job, after=(3, 2)))
    assert [record.text for record in found.records] == ["3", "4"]


def test_a_long_text_is_a_portion(job, tmp_path):
    file = _file(tmp_path, [f'{{"text": "{"a" * ray_workers.CHARACTERS_AT_A_TIME}"}}', '{"text": "b"}'])
    assert [len(each.records) for each in portions(file, job)] == [1, 1]


def test_what_ends_reading_and_what_it_warns_of_are_told(job, tmp_path):
    file = _file(tmp_path, ['{"text": "a", "id": "x"}', '{"text": "b", "id": "x"}'])
    [found] = portions(file, job)
    assert "1 record has the id of one before them" in found.warnings[0]
    assert found.failure is None
    [found] = portions(replace(file, path=str(tmp_path / "none.jsonl")), job)
    assert "there is no such file" in str(found.errors[0])

    class Broken(type(job.run.task)):
        def read_file(self, run, file, options, on_error):
            raise ReformerError("no")

    [found] = portions(file, replace(job, run=replace(job.run, task=Broken())))
    assert str(found.failure) == "no"
    assert found.is_last


def _answered(*places):
    return [
        Answered(Portion(place, number, is_last=is_last), [], "w", is_restarted=False)
        for place, number, is_last in places
    ]


WHOLE = ((0, 0, False), (0, 1, True), (1, 0, True))


def test_answers_are_all_portions_once_and_in_order():
    files = input_files(["a", "b"])
    assert len(list(ray_engine._all_of(files, _answered(*WHOLE)))) == 3
    for wrong in (WHOLE[:2], WHOLE[:1], (WHOLE[1], WHOLE[0], WHOLE[2]), (*WHOLE, WHOLE[2]), (WHOLE[0], *WHOLE), ()):
        with pytest.raises(RuntimeError, match=r"portion .* come"):
            list(ray_engine._all_of(files, _answered(*wrong)))


def test_attempts_are_counted():
    foreman = Foreman(lambda: None, reading=[1])
    assert [foreman.begin((0, 0)), foreman.begin((0, 0)), foreman.begin((0, 1))] == [1, 2, 1]
    assert foreman.job("reading")[1] == [1]
    error = ray_workers._ended_too_often(_records("a:1", "a:9"))
    assert "4 times a worker has ended, each at the records from a:1 to a:9" in str(error)


def _records(*sources):
    from reformer.data import Document

    return [Document("x", "x", source=source) for source in sources]


def test_what_can_be_read_once_only_is_refused(tmp_path):
    ray_engine.check_files([str(tmp_path), "missing", "s3://b/a"])
    for file in ("-", "/dev/null"):
        with pytest.raises(ReformerError, match=f"^{file}: .* can be read once only"):
            ray_engine.check_files([file])


def test_ray_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ReformerError, match=r"pip install 'reformer-torch\[ray\]'"),
        ray_engine.ray_cluster(None, 2),
    ):
        pass


def test_workers_import_what_is_heavy_when_they_are_prepared():
    import subprocess

    script = (
        "import sys, reformer.inference.ray_workers; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "ray://127.0.0.1:1", "[::1]:1", "127.0.0.1:99999", "no such host:1"]
)
def test_a_cluster_that_does_not_answer_is_not_waited_for(address):
    with pytest.raises(ConnectionError):
        ray_engine._check_answers(address)


def test_one_that_answers_is_left_to_ray():
    with socket.create_server(("127.0.0.1", 0)) as server:
        ray_engine._check_answers(f"127.0.0.1:{server.getsockname()[1]}")
    # Ray finds these itself.
    ray_engine._check_answers("auto")


def test_where_a_cluster_is(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert ray_engine._cluster_address() is None
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray/ray_current_cluster").write_text("10.0.0.1:6379\n")
    assert ray_engine._cluster_address() == "10.0.0.1:6379"
    for given, found in (("10.0.0.2:6379", "10.0.0.2:6379"), ("", "10.0.0.1:6379"), ("local", None)):
        monkeypatch.setenv("RAY_ADDRESS", given)
        assert ray_engine._cluster_address() == found
