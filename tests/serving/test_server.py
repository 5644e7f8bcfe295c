"""Guard, queue and metrics: who may ask, how much may wait, and what is told of it."""

import asyncio
import json
import logging
import os
import shutil
import threading
import time
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from rich.console import Console

from reformer.errors import ReformerError
from reformer.inference.answer_forms import JsonLines
from reformer.serving.address import bound_socket, is_loopback, url_of
from reformer.serving.engine import Engine, QueueFullError, Work
from reformer.serving.guard import Guard, Metrics
from reformer.serving.records import predictions, whole
from reformer.serving.served_run import load_runs
from reformer.serving.spool import Spool
from reformer.serving.uploads import Limits, Upload
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from tests.cli.test_cli import reformer
from tests.serving.conftest import served
from tests.serving.inputs import TEXTS
from tests.tiny import masked_recipe


def test_a_token_keeps_others_out(folder):
    with served([folder / "runs/entities"], token="sesame") as client:
        body = {"text": TEXTS[0]}
        assert client.get("/health").status_code == 200
        assert client.get("/").status_code == 200
        for headers in ({}, {"authorization": "Bearer x"}, {"authorization": "sesame"}, {"authorization": "Basic ??"}):
            for path in ("/predict", "/setup", "/v1/completions"):
                assert client.post(path, json=body, headers=headers).status_code == 401
            assert client.get("/metrics", headers=headers).status_code == 401
        assert client.post("/predict", json=body, headers={"authorization": "Bearer sesame"}).status_code == 200
        assert client.post("/predict", json=body, auth=("anybody", "sesame")).status_code == 200


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://127.0.0.1:8000", 200),
        ("http://localhost", 200),
        ("http://[::1]:80", 200),
        ("http://evil.example:8000", 421),
    ],
)
def test_a_name_that_was_made_to_lead_here_is_refused(url, status):
    async def answer(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    response = TestClient(Guard(answer, Metrics(), None, only_here=True), base_url=url).get("/model")
    assert response.status_code == status
    assert status == 200 or response.json()["detail"][0]["loc"] == ["header", "host"]


def test_a_browser_is_kept_to_this_host(client):
    for answer in (client.get("/"), client.get("/page/page.js"), client.get("/no"), client.get("/health")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    answer = client.get("/", headers={"origin": "http://elsewhere"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert client.get("/page/..%2fapp.py").status_code == 404


def test_what_is_not_there_is_told(client):
    for path in ("/", "/health", "/runs/entities/model"):
        answer = client.head(path)
        assert answer.status_code == 200
        assert answer.content == b""
        assert answer.headers["content-length"] == client.get(path).headers["content-length"]
    assert client.head("/runs/entities/predict").status_code == 405
    for answer in (client.get("/no"), client.get("/runs/entities/predict"), client.options("/health")):
        assert "/openapi.json" in answer.json()["detail"][0]["msg"]
    assert answer.headers["allow"] == "GET"


def test_the_log_has_no_text(client, caplog):
    caplog.set_level(logging.INFO, "reformer.access")
    client.post("/runs/entities/predict?text=secret", json={"text": "secret"})
    client.get("/secret?secret=secret", headers={"user-agent": "secret"})
    lines = [json.loads(record.message) for record in caplog.records if record.name == "reformer.access"]
    assert [line["status"] for line in lines] == [422, 404]
    assert "secret" not in json.dumps(lines)


def test_metrics_count(client):
    client.post("/runs/entities/predict", json={"text": TEXTS[0]})
    text = client.get("/metrics").text
    assert 'reformer_records_total{run="entities"}' in text
    assert "process_resident_memory_bytes" in text
    assert 'reformer_waiting{run="entities"} 0.0' in text


def test_a_run_is_called_as_its_folder(folder, tmp_path):
    shutil.copytree(folder / "runs/entities", tmp_path / "演示 2+")
    with served([tmp_path / "演示 2+"]) as client:
        answer = client.get(f"/runs/{quote('演示 2+')}/model")
        assert answer.json()["name"] == "演示 2+"
        assert client.get("/runs").json() == ["演示 2+"]


def test_the_only_run_stands_at_the_root(folder, client):
    with served([folder / "runs/entities"]) as alone:
        assert alone.post("/predict", json={"text": TEXTS[0]}).status_code == 200
        assert alone.get("/model").json()["name"] == "entities"
    assert client.post("/predict", json={"text": TEXTS[0]}).status_code == 404
    assert client.get("/runs").json()[0] == "answers"


def test_a_full_queue_tells_when_to_come_again(folder):
    with served([folder / "runs/entities"], waiting=1) as client:
        begun, go_on = threading.Event(), threading.Event()

        def block(batch):
            begun.set()
            go_on.wait(30)
            return batch

        found = client.engines["entities"]
        first = found.put(Work(1, 1, block))
        begun.wait(30)
        second = found.put(Work(2, 1, block))
        answer = client.post("/predict", json={"text": TEXTS[0]})
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        go_on.set()
        assert (first.result(30), second.result(30)) == (1, 2)
        assert client.post("/predict", json={"text": TEXTS[0]}).status_code == 200


def test_what_takes_too_long_is_504(folder):
    with served([folder / "runs/entities"], seconds=0.2) as client:
        go_on = threading.Event()
        client.engines["entities"].put(Work(1, 1, lambda batch: [go_on.wait(30)]))
        assert client.post("/predict", json={"text": TEXTS[0]}).status_code == 504
        go_on.set()


def test_a_request_that_is_given_up_leaves_nothing_behind(folder):
    """As when its client goes away: its records wait no more, and its file is gone."""
    served_ = load_runs([folder / "runs/entities"], lambda tokens: Engine(tokens, 64))["entities"]
    begun, go_on = threading.Event(), threading.Event()

    def block(batch):
        begun.set()
        return [go_on.wait(30)]

    served_.engine.put(Work(1, 1, block))
    begun.wait(30)

    async def give_up(spool):
        upload = Upload(spool, "request.jsonl")
        upload.path.write_text(json.dumps({"text": TEXTS[0]}) + "\n", encoding="utf-8")
        answering = asyncio.ensure_future(
            whole(predictions(served_, upload, PredictOptions(), Limits(1, 60)), JsonLines(), "request.jsonl")
        )
        while served_.engine.waiting == 0:
            await asyncio.sleep(0.01)
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        upload.close()

    with Spool() as spool:
        asyncio.run(give_up(spool))
    assert served_.engine.waiting == 1
    go_on.set()
    served_.engine.close()
    assert served_.engine.waiting == 0


def test_a_long_work_holds_up_no_short_one():
    engine, go_on = Engine(64, 16), threading.Event()
    long = engine.put(Work(1, 65, lambda batch: [go_on.wait(30)]))
    assert engine.put(Work(2, 10, lambda batch: batch)).result(30) == 2
    assert not long.done()
    go_on.set()
    engine.close()
    assert long.result() is True


def test_works_of_one_group_and_length_share_a_batch_of_bounded_size():
    engine, batches = Engine(64, 16), []

    def answer(batch):
        batches.append(batch)
        return batch

    go_on = threading.Event()
    engine.put(Work(0, 1, lambda batch: [go_on.wait(30)]))
    time.sleep(0.05)
    futures = [engine.put(Work(number, 16 + number % 2 * 16, answer, group="a")) for number in range(6)]
    futures.append(engine.put(Work(6, 16, answer, group="b")))
    assert futures[2].cancel()
    go_on.set()
    engine.close()
    assert [future.result() for future in futures if not future.cancelled()] == [0, 1, 3, 4, 5, 6]
    assert sorted(batches) == [[0, 4], [1, 3], [5], [6]]


def test_a_mistake_of_one_batch_reaches_those_who_wait_for_it():
    engine = Engine(64, 1)
    failed = engine.put(Work(0, 1, lambda batch: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        failed.result(30)
    assert engine.put(Work(1, 1, lambda batch: batch)).result(30) == 1
    engine.close()
    with pytest.raises(QueueFullError):
        Engine(64, 0).put(Work(1, 1, lambda batch: batch))


def test_an_address_that_cannot_be_had_is_told(folder):
    with bound_socket("127.0.0.1", 0) as bound:
        bound.listen()
        port = bound.getsockname()[1]
        assert url_of(bound) == f"http://127.0.0.1:{port}"
        told = reformer("serve", folder / "runs/entities", "--port", str(port), status=1).stderr
        assert f"port {port}: Address already in use; take another --port" in told
    for host in ("no.such.host.invalid", "", "a..b", "1.2.3.4.5"):
        with pytest.raises(ReformerError, match="--host"):
            bound_socket(host, 0)
    with pytest.raises(ReformerError, match="port 0"):
        bound_socket("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("host", "told"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)]
)
def test_what_is_loopback(host, told):
    assert is_loopback(host) is told


def test_runs_that_answer_nothing_or_share_a_name_are_refused(folder, tmp_path):
    (tmp_path / "entities").symlink_to(folder / "runs/entities")
    with pytest.raises(ReformerError, match="two runs are called"):
        load_runs([folder / "runs/entities", tmp_path / "entities"], lambda tokens: Engine(tokens, 1))
    for name in ("a{b}", os.fsdecode(b"\xff")):
        with pytest.raises(ReformerError, match="rename the folder"):
            load_runs([tmp_path / name], lambda tokens: Engine(tokens, 1))
    # As `predict` and `score` refuse it.
    train(checked_recipe(masked_recipe(tmp_path, max_steps=1)), tmp_path / "masked", console=Console(quiet=True))
    with pytest.raises(ReformerError, match=r"masked-language-modelling, which answers.*from = '.*masked'"):
        load_runs([tmp_path / "masked"], lambda tokens: Engine(tokens, 1))
    assert "there is no such run folder" in reformer("serve", tmp_path / "no", status=1).stderr
    assert "--token" in reformer("serve", folder / "runs/entities", "--token", "a b", status=1).stderr
