"""Answers come in order, whatever batches they were made in, and from a stream that is never held."""

import json

import pytest
from rich.console import Console

from reformer.data import DataError, Document, Span
from reformer.data.batching import read_ahead
from reformer.data.notes import DataWarning
from reformer.models import ReformerForTokenClassification
from reformer.recipe import RecipeError
from reformer.runs.loading import load_run
from reformer.tasks.document_splits import read_source
from reformer.tasks.documents.answer import DocumentAnswer, as_json
from reformer.tasks.documents.prediction import evaluate, predict
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from tests.tiny import ner_recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    recipe = checked_recipe(ner_recipe(folder, max_steps=40))
    train(recipe, folder / "run", console=Console(quiet=True))
    return load_run(folder / "run")


def _documents(count):
    texts = ("张伟去了北京的新华社。", "李华。", "😀é王小明去了昌平区" * 7, "上海\n")
    return [Document(texts[index % 4], str(index)) for index in range(count)]


def test_batches_change_no_answer_and_no_order(run):
    alone = [answer for document in _documents(40) for _, answer in predict(run, [document])]
    together = list(predict(run, iter(_documents(40)), batch_tokens=300))
    assert [document.id for document, _ in together] == [str(index) for index in range(40)]
    # To the last bit of every probability.
    written = [as_json(document, answer) for document, answer in together]
    assert written == [as_json(document, answer) for (document, _), answer in zip(together, alone, strict=True)]
    assert any(answer.spans for answer in alone)


def test_the_stream_is_read_as_it_is_answered(run, monkeypatch):
    monkeypatch.setattr(read_ahead, "SEQUENCES_AHEAD", 10)
    monkeypatch.setattr("reformer.data.batching.encoding.TEXTS_AT_A_TIME", 10)
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield Document("张伟去了北京。", str(read))

    answers = predict(run, endless())
    for _ in range(35):
        next(answers)
    assert read <= 35 + 4 * 10


def test_a_long_document_goes_through_whole(run, monkeypatch):
    text = "张伟去了北京的新华社。" * 600
    lengths = []
    forward = ReformerForTokenClassification.forward

    def recorded(self, input_ids=None, attention_mask=None, **kwargs):
        lengths.append(attention_mask.sum(-1).tolist())
        return forward(self, input_ids, attention_mask, **kwargs)

    monkeypatch.setattr(ReformerForTokenClassification, "forward", recorded)
    [(_, answer)] = predict(run, [Document(text, "long")], batch_tokens=64)
    assert lengths == [[len(text)]]
    assert answer.spans[-1].start > len(text) - 11


def test_an_empty_document_goes_to_on_error_or_is_raised(run):
    documents = [Document("张伟", "a", source="f.csv:2"), Document("", "b", source="f.csv:3")]
    errors = []
    assert len(list(predict(run, documents, errors.append))) == 1
    assert str(errors[0]).startswith("f.csv:3: this document has no token")
    with pytest.raises(DataError):
        list(predict(run, documents))


def test_evaluation_is_by_characters(run):
    [(document, answer)] = predict(run, [Document("张伟去了北京。", "a")])
    known = Document(document.text, "a", spans=answer.spans)
    assert evaluate(run, [known])["f1"] == 1.0
    wrong = Document(
        document.text, "a", spans=tuple(Span(span.start, span.end + 1, span.label) for span in answer.spans)
    )
    assert evaluate(run, [wrong])["f1"] == 0.0
    with pytest.raises(DataError, match="nothing says which entities this text has"):
        evaluate(run, [document])


def test_a_record_has_the_exact_text_of_each_span():
    document = Document("😀在北京", "x")
    record = as_json(document, DocumentAnswer(spans=(Span(2, 4, "LOC"),)))
    assert record == {
        "text": "😀在北京",
        "spans": [{"start": 2, "end": 4, "label": "LOC", "text": "北京"}],
    }
    assert as_json(document, DocumentAnswer(label="a", scores={"a": 1.0}), with_text=False) == {
        "label": "a",
        "score": 1.0,
        "scores": {"a": 1.0},
    }


def test_predict_needs_texts_alone(run, tmp_path):
    """Wrong spans and labels, and lines of CoNLL without tags, leave no text unanswered."""
    lines = (
        '{"text": "张伟去了北京。", "spans": [{"start": 0, "end": 99, "label": "PER"}]}',
        '{"text": "张伟去了北京。", "spans": "none", "label": {"a": 1}}',
        '{"text": "张伟去了北京。", "spans": [], "answer": "reject"}',
    )
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "a.conll").write_text("\n".join("张伟去了北京。"), encoding="utf-8")
    files = [str(tmp_path / name) for name in ("a.jsonl", "a.conll")]
    answers = [each.fields for each in run.task.predict(run, files, PredictOptions(), pytest.fail)]
    assert [answer["text"] for answer in answers] == ["张伟去了北京。"] * 4
    assert all(answer["spans"] == answers[0]["spans"] for answer in answers)


@pytest.mark.filterwarnings("ignore::reformer.data.notes.DataWarning")
def test_gold_entities_are_read_as_predicted_ones_are(run, tmp_path):
    """The answers with blanks at their ends, and each twice, are the answers."""
    text = "张伟 去了 北京 的 新华社 。"
    (tmp_path / "plain.jsonl").write_text(json.dumps({"text": text}), encoding="utf-8")
    [predicted] = run.task.predict(run, [str(tmp_path / "plain.jsonl")], PredictOptions(), pytest.fail)
    answer = predicted.fields
    assert answer["spans"]
    spans = [{"start": each["start"], "end": each["end"], "label": f" {each['label']}"} for each in answer["spans"]]
    for span in spans:
        span["end"] += text[span["end"] : span["end"] + 1] == " "
    (tmp_path / "gold.jsonl").write_text(json.dumps({"text": text, "label": [], "spans": spans * 2}), encoding="utf-8")
    assert run.task.evaluate(run, [str(tmp_path / "gold.jsonl")], PredictOptions())["f1"] == 1.0


def test_how_entities_are_read_is_a_choice_of_recipe_and_command(run, tmp_path):
    person = {"start": 0, "end": 2, "label": "PER"}
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"text": "张伟去了北京。", "spans": [person, person | {"end": 3, "text": "张伟去"}]}),
        encoding="utf-8",
    )
    (tmp_path / "b.jsonl").write_text(
        json.dumps({"text": "👍张伟。", "spans": [person | {"start": 2, "end": 4, "text": "张伟"}]})
    )
    for name, problem, option in (("a", "overlap", {"on_overlap": "first"}), ("b", "stands at 1:3", {"repair": True})):
        source = str(tmp_path / f"{name}.jsonl")
        with pytest.raises(DataError, match=problem):
            run.task.evaluate(run, [source], PredictOptions())
        with pytest.warns(DataWarning):
            run.task.evaluate(run, [source], PredictOptions(**option))
        with pytest.warns(DataWarning):
            list(read_source(source, run.recipe.data.model_copy(update=option)))


def test_columns_are_named_in_the_recipe(tmp_path):
    tables = ner_recipe(tmp_path)
    recipe = checked_recipe(tables | {"data": tables["data"] | {"conll_columns": "word,_,tag"}})
    assert recipe.data.spans.columns == ("word", "_", "tag")
    with pytest.raises(RecipeError, match="expected one word, tag, and _ for others"):
        checked_recipe(tables | {"data": tables["data"] | {"conll_columns": "pos"}})
