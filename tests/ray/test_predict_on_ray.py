"""`predict --engine ray` writes the file that `predict` writes, whatever happens to its workers."""

import contextlib
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from reformer.errors import ReformerError
from reformer.inference.ray_engine import predict_on_ray, ray_cluster
from reformer.runs.loading import load_run
from reformer.tasks.documents.token_classification import TokenClassification
from reformer.tasks.predict_options import PredictOptions
from tests.cli.test_cli import _written, reformer
from tests.data.object_store import object_store
from tests.tiny import ner_recipe, pairs_recipe, reviews_recipe, series_recipe

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1800)]
TEXT = "张伟去了北京。王小明在新华社，李华昨天到上海。"


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A run of each kind that predicts."""
    folder = tmp_path_factory.mktemp("runs")
    for name, recipe in {
        "labels": ner_recipe,
        "classes": reviews_recipe,
        "pairs": pairs_recipe,
        "series": series_recipe,
    }.items():
        (folder / name).mkdir()
        given = recipe(folder / name, **({} if name == "classes" else {"max_steps": 1}))
        reformer("train", _written(given, folder / f"{name}.toml"), "-o", folder / name / "run")
    return folder


def _documents(path: Path, count: int, longest: int = 60, *, broken: bool = False) -> Path:
    pick = random.Random(count)
    lines = [
        json.dumps({"id": f"d{number}", "text": (TEXT * (longest // len(TEXT) + 1))[: pick.randint(5, longest)]})
        for number in range(count)
    ]
    if broken:
        lines[7] = "{broken"
        lines[count // 2] = json.dumps({"text": ""})
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "reformer", "predict", *map(str, arguments)]


def _predict(*arguments: object, status: int = 0, environment: dict[str, str] | None = None) -> str:
    """Run the command in a process of its own; gives what it says on standard error."""
    done = subprocess.run(
        _command(*arguments), capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})}
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def _both(
    run: Path, files: list[object], folder: Path, *more: object, name: str = "out.jsonl", **how
) -> tuple[str, str]:
    """Predict in one process and on Ray, and compare; gives what the two say."""
    plain = _predict(run, *files, "-o", folder / f"plain-{name}", *more, **how)
    on_ray = _predict(run, *files, "-o", folder / name, *more, "--engine", "ray", **how)
    assert (folder / name).read_bytes() == (folder / f"plain-{name}").read_bytes()
    assert not [other for other in os.listdir(folder) if ".partial" in other]
    return plain, on_ray


def test_several_files_of_several_formats_and_what_is_wrong_in_them(runs, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet

    data = tmp_path / "data"
    (data / "more").mkdir(parents=True)
    _documents(data / "2.jsonl", 700, broken=True)
    _documents(data / "more/2.jsonl", 30)
    (data / "10.jsonl.gz").write_bytes(gzip.compress(_documents(tmp_path / "z.jsonl", 20).read_bytes()))
    (data / "a.csv").write_text("id,text,kind\nx,北京欢迎你,1\nx,上海,2\n", encoding="utf-8")
    (data / "empty.csv").write_text("id,text\n", encoding="utf-8")
    pyarrow.parquet.write_table(pa.table({"text": [TEXT] * 40}), tmp_path / "b.parquet")
    files = [data, str(data / "**/2.jsonl"), tmp_path / "b.parquet", data / "missing.jsonl"]
    plain, on_ray = _both(runs / "labels/run", files, tmp_path, status=1)
    assert "1 record has the id of one before them" in plain
    assert "6 left out" in plain
    assert sorted(plain.splitlines()) == sorted(on_ray.splitlines())


@pytest.mark.parametrize(
    ("kind", "data", "name"), [("classes", "reviews.csv", "out.csv"), ("pairs", "train.tsv", "out.jsonl")]
)
def test_other_tasks_and_forms(runs, tmp_path, kind, data, name):
    _both(
        runs / kind / "run",
        [runs / kind / data],
        tmp_path,
        *(["--keep-columns"] if kind == "classes" else []),
        name=name,
    )


def test_standard_output(runs, tmp_path):
    file = _documents(tmp_path / "a.jsonl", 5)
    answers = [
        subprocess.run(_command(runs / "labels/run", file, *more), capture_output=True, check=True).stdout
        for more in ([], ["--engine", "ray"])
    ]
    assert answers[0] == answers[1]
    assert answers[0].count(b"\n") == 5


def test_files_of_an_object_store(runs, tmp_path):
    (tmp_path / "bucket/texts").mkdir(parents=True)
    for number in (2, 10):
        _documents(tmp_path / f"bucket/texts/{number}.jsonl", 20 * number)
    with object_store(tmp_path) as environment:
        _both(runs / "labels/run", ["s3://bucket/texts"], tmp_path, environment=environment)
    files = [json.loads(line)["file"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert list(dict.fromkeys(files)) == ["s3://bucket/texts/2.jsonl", "s3://bucket/texts/10.jsonl"]


def _workers(command: int) -> list[psutil.Process]:
    """The processes of a command that answer."""
    found = []
    for process in psutil.Process(command).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [process] if any("MapWorker" in part for part in process.cmdline()) else []
    return found


def _wait_for_lines(path: Path, count: int, process: subprocess.Popen) -> None:
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)


def test_a_worker_is_killed_half_way(runs, tmp_path):
    run, file = runs / "labels/run", _documents(tmp_path / "a.jsonl", 10_000)
    output = tmp_path / "out.jsonl"
    command = _command(run, file, "-o", output, "--engine", "ray", "--workers", 2)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    _wait_for_lines(tmp_path / "out.jsonl.partial", 5000, process)
    workers = _workers(process.pid)
    assert len(workers) == 2
    os.kill(workers[0].pid, signal.SIGKILL)
    told = process.communicate()[1]
    assert process.returncode == 0, told
    assert "a worker has ended, and was begun again" in told
    _predict(run, file, "-o", tmp_path / "plain.jsonl")
    assert output.read_bytes() == (tmp_path / "plain.jsonl").read_bytes()
    ids = [json.loads(line)["id"] for line in output.read_text(encoding="utf-8").splitlines()]
    assert ids == [f"d{number}" for number in range(10_000)]


class Deadly(TokenClassification):
    """Ends the process that encodes one record."""

    def encode(self, run, records):
        if any(record.id == "d700" for record in records):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(run, records)


@pytest.mark.filterwarnings("ignore")
def test_records_that_end_every_worker_are_named(runs, tmp_path):
    file, told = _documents(tmp_path / "a.jsonl", 1500), []
    run = replace(load_run(runs / "labels/run"), task=Deadly())
    found = []
    ended = r"4 times a worker has ended, each at the records from .*a.jsonl:\d+ to"
    with ray_cluster(2, 2) as workers:
        predictions = predict_on_ray(
            run, [str(file)], PredictOptions(), told.append, workers=workers, prepare=int, on_restart=told.append
        )
        with pytest.raises(ReformerError, match=ended):
            found.extend(prediction.fields["id"] for prediction in predictions)
    # Those before them are answered.
    assert found == [f"d{number}" for number in range(len(found))]
    assert 500 <= len(found) <= 700


def test_a_stopped_prediction_goes_on_with_either_engine(runs, tmp_path):
    run, file = runs / "labels/run", _documents(tmp_path / "a.jsonl", 3000)
    output = tmp_path / "out.jsonl"
    process = subprocess.Popen(_command(run, file, "-o", output, "--engine", "ray"), stderr=subprocess.PIPE, text=True)
    _wait_for_lines(tmp_path / "out.jsonl.partial", 500, process)
    process.send_signal(signal.SIGTERM)
    told = process.communicate()[1]
    assert process.returncode == 128 + signal.SIGTERM, told
    assert "--resume goes on from there" in told
    assert not psutil.pid_exists(process.pid)
    count = (tmp_path / "out.jsonl.partial").read_bytes().count(b"\n")
    assert 500 <= count < 3000
    for each in ("", ".journal"):
        (tmp_path / f"copy.jsonl.partial{each}").write_bytes((tmp_path / f"out.jsonl.partial{each}").read_bytes())
    assert "here already" in _predict(run, file, "-o", output, "--resume", "--engine", "ray")
    assert "here already" in _predict(run, file, "-o", tmp_path / "copy.jsonl", "--resume")
    _predict(run, file, "-o", tmp_path / "plain.jsonl")
    assert output.read_bytes() == (tmp_path / "copy.jsonl").read_bytes() == (tmp_path / "plain.jsonl").read_bytes()


@pytest.fixture
def cluster(tmp_path) -> Iterator[dict[str, str]]:
    """Two machines of one core each, as Ray sees them, on this one."""
    from ray.cluster_utils import Cluster

    two = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    two.add_node(num_cpus=1)
    yield {"RAY_ADDRESS": two.address}
    two.shutdown()


def test_all_machines_of_a_cluster_by_the_same_command(runs, tmp_path, cluster, monkeypatch):
    file = _documents(tmp_path / "a.jsonl", 1500)
    monkeypatch.chdir(tmp_path)
    _both(runs / "labels/run", [file.name], tmp_path, environment=cluster)
    told = _predict(
        runs / "labels/run", file, "-o", "x.jsonl", "--engine", "ray", "--workers", 3, status=1, environment=cluster
    )
    assert "--workers 3: Ray has 2 cores here" in told


def test_what_cannot_be_done_is_refused(runs, tmp_path):
    run, file = runs / "labels/run", _documents(tmp_path / "a.jsonl", 5)
    told = _predict(run, file, "-o", tmp_path / "o", "--engine", "ray", "--workers", 1000, status=1)
    assert "--workers 1000: Ray has" in told
    elsewhere = {"RAY_ADDRESS": "127.0.0.1:1"}
    told = _predict(run, file, "-o", tmp_path / "o", "--engine", "ray", status=1, environment=elsewhere)
    assert "127.0.0.1:1 does not answer" in told
    assert not list(tmp_path.glob("o*"))


def test_a_recipe_is_trained_by_ray_train(tmp_path):
    recipe = _written(ner_recipe(tmp_path, max_steps=4), tmp_path / "recipe.toml")
    example = Path(__file__).parents[2] / "examples/train_on_ray.py"
    command = [sys.executable, str(example), str(recipe), str(tmp_path / "run"), "--workers", "2"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run/metrics.json").read_text())["training"]["steps"] == 4
