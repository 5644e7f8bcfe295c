"""Answers as annotation tools read them: what is written is read again by `reformer data convert`, equal."""

import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from reformer.cli import app
from reformer.data import read_documents
from reformer.data.spans import SpanReading
from reformer.inference.answer_forms import OF_CLASSES, OF_ENTITIES
from reformer.inference.begun_answers import begun_answers
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from tests.tiny import ner_recipe, reviews_recipe

TEXTS = ["张伟去了北京的新华社。", "李华，王小明", "😀王小明去了昌平区"]


@pytest.fixture(scope="module")
def labeller(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labeller")
    train(checked_recipe(ner_recipe(folder, max_steps=30)), folder / "run", console=Console(quiet=True))
    return folder / "run"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    train(checked_recipe(reviews_recipe(folder)), folder / "run", console=Console(quiet=True))
    return folder / "run"


@pytest.fixture
def texts(tmp_path):
    lines = [json.dumps({"id": f"t{number}", "text": text}) for number, text in enumerate(TEXTS)]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "texts.jsonl"


def _invoke(*arguments, code=0):
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == code, result.output
    return result.output


def _documents(file):
    keep = SpanReading(on_overlap="keep")
    return [(each.text, each.label, each.spans) for each in read_documents(file, spans=keep)]


@pytest.mark.parametrize("to", OF_ENTITIES)
def test_entities_are_read_again_equal(labeller, texts, tmp_path, to):
    _invoke("predict", labeller, texts, "-o", tmp_path / "own.jsonl")
    _invoke("predict", labeller, texts, "-o", tmp_path / "written", "--to", to)
    scheme = {"bioes", "bmes", "biluo", "io"}
    read_as = "label-studio-predictions" if to == "label-studio" else "conll" if to in scheme else to
    _invoke("data", "convert", tmp_path / "written", tmp_path / "read.jsonl", "--from", read_as)
    assert _documents(tmp_path / "read.jsonl") == _documents(tmp_path / "own.jsonl")
    assert sum(len(spans) for _, _, spans in _documents(tmp_path / "read.jsonl")) > 3


def test_label_studio_has_predictions_with_their_scores_and_its_own_offsets(labeller, texts, tmp_path):
    _invoke("predict", labeller, texts, "-o", tmp_path / "own.jsonl")
    _invoke("predict", labeller, texts, "-o", tmp_path / "tasks.json", "--to", "label-studio")
    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    answers = [json.loads(line) for line in (tmp_path / "own.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [task["data"]["id"] for task in tasks] == ["t0", "t1", "t2"]
    for task, answer in zip(tasks, answers, strict=True):
        assert "annotations" not in task
        [predicted] = task["predictions"]
        scores = [result["score"] for result in predicted["result"]]
        assert scores == [span["score"] for span in answer["spans"]]
        assert predicted["score"] == min(scores)
    # The emoji is two units of UTF-16.
    assert tasks[2]["predictions"][0]["result"][0]["value"]["start"] == answers[2]["spans"][0]["start"] + 1


def test_predictions_are_no_annotations_until_somebody_has_accepted_them(labeller, texts, tmp_path):
    _invoke("predict", labeller, texts, "-o", tmp_path / "tasks.json", "--to", "label-studio")
    with pytest.warns(UserWarning, match="predictions left out: 3"):
        found = list(read_documents(tmp_path / "tasks.json"))
    assert [document.spans for document in found] == [None] * 3


@pytest.mark.parametrize("to", OF_CLASSES)
def test_classes_are_read_again_equal(classifier, tmp_path, to):
    (tmp_path / "texts.jsonl").write_text('{"text": "很好满意"}\n{"text": "太差退货"}\n', encoding="utf-8")
    _invoke("predict", classifier, tmp_path / "texts.jsonl", "-o", tmp_path / "own.jsonl")
    _invoke("predict", classifier, tmp_path / "texts.jsonl", "-o", tmp_path / "written", "--to", to)
    read_as = "label-studio-predictions" if to == "label-studio" else to
    labels = [label for _, label, _ in _documents(tmp_path / "own.jsonl")]
    documents = list(read_documents(tmp_path / "written", format=read_as))
    assert [each.label or each.labels[0] for each in documents] == labels


def test_several_labels_are_written_as_several(tmp_path):
    from reformer.inference.answer_forms import AnnotationForm

    fields = {"id": "a", "text": "很好", "label": ["体育", "财经"], "score": [0.9, 0.8]}
    assert json.loads(AnnotationForm("doccano", is_begun=False)(fields))["label"] == ["体育", "财经"]
    form = AnnotationForm("label-studio", is_begun=False)
    [task] = json.loads(form(fields) + form.end())
    assert task["predictions"][0]["result"][0]["value"] == {"choices": ["体育", "财经"]}


def test_standard_output_is_the_whole_file(labeller, texts, tmp_path):
    output = _invoke("predict", labeller, texts, "--to", "spacy")
    assert len(json.loads(output[output.index("[\n") :])) == 3


def test_a_list_without_answers_is_a_list(labeller, tmp_path):
    (tmp_path / "empty.jsonl").write_text('{"text": ""}\n', encoding="utf-8")
    _invoke("predict", labeller, tmp_path / "empty.jsonl", "-o", tmp_path / "tasks.json", "--to", "spacy", code=1)
    assert json.loads((tmp_path / "tasks.json").read_text()) == []


def test_a_list_that_was_interrupted_is_gone_on_with(tmp_path):
    """At any point, also between the bracket that ends it and the removal of its journal."""
    output, request = tmp_path / "tasks.json", {"a": 1}
    how = {"overwrite": False, "resume": True}

    def interrupted():
        with begun_answers(output, request, **how) as answers:
            answers.write((0, 0), b"[\n1")
            answers.end(b"\n]\n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with begun_answers(output, request, **how) as answers:
        assert (answers.count, answers.after) == (1, (0, 0))
        answers.write((0, 1), b",\n2")
        answers.end(b"\n]\n")
        journal = (tmp_path / "tasks.json.partial.journal").read_bytes()
    assert json.loads(output.read_text()) == [1, 2]
    # As if the process had ended before it removed the journal.
    (tmp_path / "tasks.json.partial.journal").write_bytes(journal.replace(b'"process"', b'"ended"'))
    with begun_answers(output, request, **how) as answers:
        assert answers.count == 2
        answers.end(b"\n]\n")
    assert json.loads(output.read_text()) == [1, 2]
    assert not (tmp_path / "tasks.json.partial.journal").exists()


def test_a_text_that_the_format_cannot_hold_is_told_of_and_the_others_are_written(labeller, tmp_path):
    lines = [json.dumps({"text": text}) for text in ("张伟\n去了北京", "李华去了上海")]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    output = _invoke(
        *("predict", labeller, tmp_path / "texts.jsonl", "-o", tmp_path / "a.conll", "--to", "conll"), code=1
    )
    assert "conll cannot hold this: a line break" in output
    assert "1 left out" in output
    assert [text for text, _, _ in _documents(tmp_path / "a.conll")] == ["李华去了上海"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--to", "brat"), "expected one of doccano, label-studio"),
        (("--to", "jsonl"), "for JSONL with scores or a table leave --to out"),
        (("--to", "doccano", "--no-text"), "--no-text: doccano has texts"),
        (("--to", "doccano", "--keep-columns"), "--keep-columns: doccano has no place for them"),
        (("--to", "doccano", "-o", "a.csv"), "--to doccano is no table"),
    ],
)
def test_what_does_not_go_together_is_refused(labeller, texts, options, message):
    assert message in _invoke("predict", labeller, texts, *options, code=1)


def test_formats_of_classes_hold_no_scores_of_all_classes(classifier, texts):
    output = _invoke("predict", classifier, texts, "--to", "doccano", "--no-scores", code=1)
    assert "--no-scores: doccano has no place for those of all classes" in output


def test_formats_of_entities_hold_no_classes(classifier, texts):
    output = _invoke("predict", classifier, texts, "--to", "conll", code=1)
    assert "expected one of doccano, label-studio, prodigy, which hold classes" in output
