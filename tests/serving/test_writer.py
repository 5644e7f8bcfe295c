"""Completions and scores of a language model."""

import json

import pytest

from reformer.inference.text_generation import SamplingOptions, generate
from reformer.runs.loading import load_run
from tests.cli.test_cli import reformer

ASK = {"model": "writer", "prompt": "the river", "max_tokens": 12, "seed": 3}


def test_a_completion_is_that_of_the_command(folder, client):
    answer = client.post("/v1/completions", json=ASK).json()
    expected = reformer("generate", folder / "runs/writer", "the river", "--max-new-tokens", 12, "--seed", 3).stdout
    assert answer["choices"][0]["text"] + "\n" == expected
    assert answer["usage"] == {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}
    assert answer["choices"][0]["finish_reason"] == "length"


def test_a_stream_says_the_same(client):
    whole = client.post("/v1/completions", json=ASK | {"n": 2}).json()
    texts, usage = ["", ""], None
    ask = ASK | {"n": 2, "stream": True, "stream_options": {"include_usage": True}}
    lines = [line for line in client.post("/v1/completions", json=ask).iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    for line in lines[:-1]:
        part = json.loads(line.removeprefix("data: "))
        usage = part.get("usage")
        for choice in part["choices"]:
            texts[choice["index"]] += choice["text"]
    assert texts == [choice["text"] for choice in whole["choices"]]
    assert texts[0] != texts[1]
    assert usage == whole["usage"]


def test_a_stop_ends_the_text_before_it(client):
    text = client.post("/v1/completions", json=ASK).json()["choices"][0]["text"]
    stop = text[3:5]
    choice = client.post("/v1/completions", json=ASK | {"stop": ["never\n\n", stop]}).json()["choices"][0]
    assert choice["text"] == text[: text.index(stop)]
    assert choice["finish_reason"] == "stop"


def test_log_probabilities_are_of_the_model_before_it_is_sharpened(folder, client):
    ask = ASK | {"temperature": 0, "logprobs": 3, "max_tokens": 4}
    found = client.post("/v1/completions", json=ask).json()["choices"][0]["logprobs"]
    # The likeliest token was taken.
    assert [max(top.values()) for top in found["top_logprobs"]] == found["token_logprobs"]
    assert all(len(top) == 3 for top in found["top_logprobs"])
    run = load_run(folder / "runs/writer")
    kept = []
    options = SamplingOptions(max_new_tokens=4, greedy=True)
    generate(run, b"the river", options, on_token=lambda token, logs: kept.append(float(logs[token])))
    assert kept == found["token_logprobs"]


@pytest.mark.parametrize(
    ("more", "status", "place"),
    [
        ({"model": "entities"}, 422, ["body", "model"]),
        ({"prompt": ""}, 422, ["body", "prompt"]),
        ({"prompt": [1, 2]}, 422, None),
        ({"temperature": 3}, 422, ["body", "temperature"]),
        ({"echo": True}, 422, ["body", "echo"]),
        ({"suffix": "a"}, 422, ["body", "suffix"]),
        ({"no": 1}, 422, ["body", "no"]),
        ({"stream_options": {}}, 422, ["body", "stream_options"]),
        ({"max_tokens": 1 << 21}, 413, ["body", "prompt"]),
    ],
)
def test_what_has_no_effect_is_refused(client, more, status, place):
    answer = client.post("/v1/completions", json=ASK | more)
    assert answer.status_code == status
    assert place is None or answer.json()["detail"][0]["loc"] == place


def test_scores_are_those_of_the_command(folder, client, tmp_path):
    text = "the river runs 北京"
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    reformer(
        "score", folder / "runs/writer", tmp_path / "a.txt", "--per-token", tmp_path / "t.jsonl", "-o", tmp_path / "s"
    )
    [expected] = json.loads((tmp_path / "s").read_text())
    tokens = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    for answer in (
        client.post("/runs/writer/score", json={"text": text}),
        client.post("/runs/writer/score", content=text.encode(), headers={"content-type": "text/plain"}),
    ):
        found = answer.json()
        for token in tokens:
            token.pop("file", None)
        assert found.pop("per_token") == tokens
        assert found.items() <= expected.items()
    assert client.post("/runs/writer/score", json={"txt": text}).status_code == 422


def test_a_text_of_one_token_has_no_score(client):
    answer = client.post("/runs/writer/score", json={"text": "a"})
    assert answer.status_code == 200
    assert answer.json() == {
        "bytes": 1, "tokens": 1, "bits_per_byte": None, "perplexity": None,
        "per_token": [{"start": 0, "end": 1, "id": 102, "bits": None}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "body", "place"),
    [
        ("application/json", b'{"text": "\\ud800"}', ["body", "text"]),
        ("multipart/form-data; boundary=a", b"--a--", ["header", "content-type"]),
        ("application/x-www-form-urlencoded", b"a=b", ["header", "content-type"]),
    ],
)
def test_what_is_no_text_is_not_scored(client, kind, body, place):
    answer = client.post("/runs/writer/score", content=body, headers={"content-type": kind})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == place
