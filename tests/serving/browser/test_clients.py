"""Clients of others: OpenAI's own, and Label Studio's types."""

import json

import pytest

from reformer.data.readers import read_documents
from tests.cli.test_cli import reformer
from tests.serving.inputs import TEXTS

CONFIG = """<View><Labels name="label" toName="text">
<Label value="PER"/><Label value="LOC"/><Label value="ORG"/></Labels>
<Text name="text" value="$text"/></View>"""


@pytest.fixture(scope="module")
def openai(server):
    from openai import OpenAI

    return OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=120)


def test_completions_of_the_openai_client(openai, server, folder):
    assert [model.id for model in openai.models.list()] == ["writer"]
    ask = {"model": "writer", "prompt": "the river", "max_tokens": 16, "seed": 5, "temperature": 0.8, "top_p": 0.9}
    whole = openai.completions.create(**ask, n=2, logprobs=2)
    assert len(whole.choices) == 2
    assert whole.usage.completion_tokens == 32
    assert len(whole.choices[0].logprobs.tokens) == 16
    parts = list(openai.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    assert "".join(part.choices[0].text for part in parts if part.choices) == whole.choices[0].text
    assert parts[-1].usage.total_tokens == 25
    expected = reformer(
        "generate", folder / "runs/writer", "the river", "--max-new-tokens", 16, "--seed", 5, "--temperature", 0.8,
        "--top-p", 0.9,
    ).stdout  # fmt: skip
    assert whole.choices[0].text + "\n" == expected


def test_refusals_are_errors_of_the_openai_client(openai):
    from openai import UnprocessableEntityError

    with pytest.raises(UnprocessableEntityError, match="there is no language model"):
        openai.completions.create(model="no", prompt="a")
    with pytest.raises(UnprocessableEntityError, match="echo"):
        openai.completions.create(model="writer", prompt="a", echo=True)


# Of the client's own types.
@pytest.mark.filterwarnings("ignore")
def test_label_studio_reads_the_predictions(server, folder, tmp_path):
    import urllib.request

    from label_studio_sdk._extensions.label_studio_tools.core.label_config import parse_config
    from label_studio_sdk.label_interface import LabelInterface
    from label_studio_sdk.label_interface.objects import PredictionValue

    base = f"{server.url}/runs/entities"

    def post(path, body):
        request = urllib.request.Request(
            f"{base}{path}", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    assert post("/setup", {"project": "1.1", "schema": CONFIG})["model_version"] == "entities"
    with urllib.request.urlopen(f"{base}/health") as answer:
        assert json.load(answer)["status"] == "UP"
    tasks = [{"id": number, "data": {"text": text}} for number, text in enumerate(TEXTS)]
    answer = post("/predict", {"tasks": tasks, "project": "1.1", "label_config": CONFIG, "params": {}})
    interface = LabelInterface(CONFIG)
    assert set(parse_config(CONFIG)) == {"label"}
    assert len(answer["results"]) == len(TEXTS)
    found = 0
    for task, result in zip(tasks, answer["results"], strict=True):
        prediction = PredictionValue(**result)
        assert interface.validate_prediction({"result": result["result"]})
        units = task["data"]["text"].encode("utf-16-le")
        for region in prediction.result:
            value = region["value"]
            assert units[2 * value["start"] : 2 * value["end"]].decode("utf-16-le") == value["text"]
            assert 0 <= region["score"] <= 1
            found += 1
    assert found
    # What somebody has accepted trains a new run.
    exported = [
        {**task, "annotations": [{"result": result["result"]}]}
        for task, result in zip(tasks, answer["results"], strict=True)
    ]
    (tmp_path / "export.json").write_text(json.dumps(exported), encoding="utf-8")
    read = list(read_documents(tmp_path / "export.json"))
    assert [document.text for document in read] == list(TEXTS)
    assert sum(len(document.spans) for document in read) == found
