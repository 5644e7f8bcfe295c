"""The server answers as `reformer predict` does, byte for byte, and names what is wrong with a request."""

import errno
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cli.test_cli import reformer
from tests.serving.inputs import HOSTILE, INPUTS, TEXTS

LINES = {"content-type": "application/x-ndjson"}


def predicted(folder, run, file, *options):
    return reformer("predict", folder / "runs" / run, file, *options).stdout


@pytest.mark.parametrize("run", INPUTS)
def test_answers_are_those_of_the_command(folder, client, run, monkeypatch):
    file = INPUTS[run](folder)
    monkeypatch.chdir(folder)
    answer = client.post(f"/runs/{run}/predict", params={"name": file.name}, content=file.read_bytes())
    assert answer.status_code == 200, answer.text
    assert answer.text == predicted(folder, run, file.name)


@pytest.mark.parametrize("form", ["csv", "conll", "label-studio"])
def test_forms_are_those_of_the_command(folder, client, form, monkeypatch):
    monkeypatch.chdir(folder)
    file = Path("plain.jsonl")
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS if "\n" not in text), encoding="utf-8")
    answer = client.post("/runs/entities/predict", params={"to": form, "name": file.name}, content=file.read_bytes())
    output = folder / f"out-{form}{'.csv' if form == 'csv' else ''}"
    predicted(folder, "entities", file.name, "-o", output, *([] if form == "csv" else ["--to", form]))
    assert answer.content == output.read_bytes()


def test_many_clients_at_once_get_what_each_gets_alone(client):
    texts = [text[:length] for length in (1, 3, 7, 20, 90) for text in TEXTS if text[:length].strip()] * 3

    def ask(text):
        answer = client.post("/runs/classes/predict", json={"text": text})
        assert answer.status_code == 200
        return answer.text

    alone = {text: ask(text) for text in set(texts)}
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, texts)) == [alone[text] for text in texts]


def test_a_text_stays_a_text(client):
    answer = client.post("/runs/entities/predict", json={"text": HOSTILE, "id": "a"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["text"] == HOSTILE
    assert answer.json()["id"] == "a"


def test_options_are_those_of_the_command(client):
    ask = {"text": TEXTS[0]}
    answer = client.post("/runs/entities/predict", params={"min_confidence": 1, "text": "false"}, json=ask).json()
    assert answer == {"id": "request.jsonl:1", "spans": []}


@pytest.mark.parametrize(
    ("run", "query", "body", "place", "told"),
    [
        ("entities", {}, {"txt": "a"}, ["body", "text"], "is missing"),
        ("entities", {}, {"text": 3}, ["body", "text"], "is a JSON number"),
        ("entities", {}, {"text": " "}, ["body", "line 1"], "empty text"),
        ("entities", {}, ["a"], ["body"], "a JSON array; send one object"),
        ("entities", {}, None, ["body"], "a JSON null"),
        ("entities", {"min_confidence": [0.1, 0.2]}, {"text": "a"}, ["query", "min_confidence"], "give it once"),
        ("entities", {}, {"tasks": [], "label_config": 3}, ["body", "label_config"], "a JSON number"),
        ("entities", {}, {"text": "\ud800"}, ["body", "line 1"], "surrogate"),
        ("entities", {"beams": 2}, {"text": "a"}, ["query", "beams"], "leave it out"),
        ("entities", {"min_confidence": 2}, {"text": "a"}, ["query", "min_confidence"], "less than or equal to 1"),
        ("entities", {"to": "brat"}, {"text": "a"}, ["query", "to"], "should be"),
        ("entities", {"no": 1}, {"text": "a"}, ["query", "no"], "Extra"),
        ("classes", {"to": "conll"}, {"text": "a"}, ["query", "to"], "expected one of"),
        ("answers", {}, {"question": "a"}, ["body", "context"], "is missing"),
        ("digits", {}, {"text": "a"}, ["body"], "image/png"),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_a_remedy(client, run, query, body, place, told):
    answer = client.post(f"/runs/{run}/predict", params=query, content=json.dumps(body), headers={
        "content-type": "application/json"
    })  # fmt: skip
    assert answer.status_code == 422
    [problem] = answer.json()["detail"]
    assert problem["loc"] == place
    assert told in problem["msg"]


@pytest.mark.parametrize("body", [b"\xff\xfe{", b"{", b"", b"[" * 100_000, b'{"text": NaN}'])
def test_what_is_no_json_is_refused(client, body):
    answer = client.post("/runs/entities/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert "Traceback" not in answer.text


def test_of_many_records_the_wrong_ones_are_named_in_their_place(client):
    body = b'{"text": "a"}\n{"text": "\xff"}\n{\n{"text": "b"}\n'
    lines = [
        json.loads(line) for line in client.post("/runs/entities/predict", content=body, headers=LINES).iter_lines()
    ]
    assert [line["id"] for line in lines if "id" in line] == ["request.jsonl:1", "request.jsonl:4"]
    assert {str(line["error"]["loc"][-1]) for line in lines if "error" in line} == {"line 2", "line 3"}
    # A form that has no place for them is refused as a whole.
    answer = client.post("/runs/entities/predict", params={"to": "csv"}, content=body, headers=LINES)
    assert answer.status_code == 422
    assert len(answer.json()["detail"]) == 2


def test_what_is_too_long_is_413_with_the_limit(client):
    answer = client.post("/runs/pairs/predict", json={"source": "1" * 25})
    assert answer.status_code == 413
    assert "takes at most 24" in answer.json()["detail"][0]["msg"]
    answer = client.post("/runs/pairs/predict", content=b"1" * (2 << 20), headers=LINES)
    assert answer.status_code == 413
    assert "1,048,576 bytes" in answer.text


def test_a_body_with_a_coding_is_refused(client):
    answer = client.post("/runs/entities/predict", content=b"", headers=LINES | {"content-encoding": "gzip"})
    assert answer.status_code == 415
    assert ".gz" in answer.json()["detail"][0]["msg"]


def test_a_full_disk_is_told(client, monkeypatch):
    def full(**options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    for answer in (
        client.post("/runs/entities/predict", json={"text": "a"}),
        client.post("/runs/entities/predict", content=b"a", headers=LINES),
        client.post("/runs/writer/score", json={"text": "a"}),
    ):
        assert answer.status_code == 507
        assert "No space left" in answer.json()["detail"][0]["msg"]


@pytest.mark.parametrize("name", ["../a.jsonl", "a/b.jsonl", "", ".jsonl", "a\nb.jsonl", "x" * 300])
def test_a_name_is_no_path(client, name):
    answer = client.post("/runs/entities/predict", params={"name": name}, content=b'{"text": "a"}')
    assert answer.status_code == 422
    assert "name of a file" in answer.text


def test_the_interface_is_described(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/runs/entities/predict", "/runs/writer/score", "/v1/completions", "/runs/series/model"} <= paths.keys()
    body = paths["/runs/entities/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["text"]
    model = client.get("/runs/entities/model").json()
    assert model["task"] == "token-classification"
    assert model["labels"] == ["LOC", "ORG", "PER"]
    # Where the data lay is nobody's business.
    assert "train" not in model["recipe"]["data"]
