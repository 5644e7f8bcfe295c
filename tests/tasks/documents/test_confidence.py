"""The probability of an entity: the share of all sequences of tags that are read as it."""

from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from reformer.data import Document, Span, bio_labels, byte_tokenizer
from reformer.data.batching.encoding import Encoded, character_offsets, encode
from reformer.data.label_layers import entity_labels, layer_tags
from reformer.data.labels import decode_spans
from reformer.data.words import word_starts
from reformer.metrics.calibration import Calibration
from reformer.models import ReformerConfig, ReformerForTokenClassification
from reformer.runs.loading import load_run
from reformer.tasks.base import Run
from reformer.tasks.documents.aggregation import aggregated
from reformer.tasks.documents.prediction import evaluate, predict
from reformer.tasks.documents.token_classification import TokenClassification
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from tests.tiny import MODEL, ner_recipe

LABELS = bio_labels(["LOC"])
TEXTS = ["去 ab", "éa北", "abcd", "去了北京"]


NESTED = entity_labels([[Span(0, 5, "ORG"), Span(1, 3, "LOC")]])
"""Labels of a tagger of two layers."""


def _run(seed=0, labels=LABELS, **options):
    """A run whose model guesses, with bytes as tokens: several to a character."""
    tokenizer = byte_tokenizer()
    config = ReformerConfig(
        **MODEL,
        **options,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
        initializer_range=0.7,
    )
    torch.manual_seed(seed)
    model = ReformerForTokenClassification(config).eval()
    if model.transitions is not None:
        torch.nn.init.normal_(model.transitions)
    tables = {"data": {"train": "x.conll"}, "training": {"task": "token-classification", "max_steps": 1}}
    recipe = checked_recipe(tables)
    return Run(Path("run"), recipe, TokenClassification("simple"), model, tokenizer)


def _paths(run, document):
    """Every sequence of tags with its probability, and the offsets that it is read with."""
    model, labels = run.model, run.labels
    [encoded] = encode([document], run.tokenizer, 100)
    assert isinstance(encoded, Encoded)
    inputs, offsets = {"input_ids": torch.from_numpy(encoded.ids).long()[None]}, encoded.offsets
    if model.characters is not None:
        from reformer.data.batching.encoding import pad_character_rows
        from reformer.data.characters import CharacterTokens

        offsets = character_offsets(document.text)
        inputs |= pad_character_rows([CharacterTokens(run.tokenizer)(document.text, encoded.offsets)])
    with torch.no_grad():
        output = model(**inputs)
    # As Python's numbers: there are thousands of sequences, and each is added up alone.
    scores = (output.logits if model.transitions is None else output.scores)[0, : len(offsets)].double().tolist()
    transitions = None if model.transitions is None else model.transitions.detach().double().tolist()
    paths, totals = [], []
    layers = list(zip(*map(layer_tags, labels), strict=True))
    for path in product(range(len(labels)), repeat=len(offsets)):
        tags = [labels[tag] for tag in path]
        rule = all(_follows_rules([layer[tag] for tag in path]) for layer in layers)
        if model.transitions is None and not rule:
            continue
        total = sum(scores[place][tag] for place, tag in enumerate(path))
        if transitions is not None:
            total += sum(transitions[i][j] for i, j in pairwise(path))
        paths.append(tags)
        totals.append(total)
    return paths, torch.tensor(totals, dtype=torch.float64).softmax(0), offsets


def _follows_rules(tags):
    pairs = zip(["O", *tags], tags, strict=False)
    return all(not tag.startswith("I") or before[2:] == tag[2:] for before, tag in pairs)


@pytest.mark.parametrize("options", [{}, {"classifier_crf": True}])
def test_of_entities_that_lie_over_each_other_it_is_that_sum_too(options):
    found = over = 0
    for seed in range(12):
        run = _run(seed, labels=NESTED, **options)
        document = Document("abcd", "a")
        [(_, answer)] = predict(run, [document])
        paths, chances, offsets = _paths(run, document)
        spans = [decode_spans(tags, offsets, document.text) for tags in paths]
        of_layers = [[_of_layer(tags, layer, offsets) for tags in paths] for layer in range(2)]
        for span in answer.spans:
            # Read in either layer: a span has the probability of the layer that it was found in.
            read = torch.tensor([span in each for each in spans])
            found, over = found + 1, over + any(each != span and each.start < span.end for each in answer.spans)
            in_one = [float(chances[torch.tensor([span in each for each in layer])].sum()) for layer in of_layers]
            assert min(abs(span.score - each) for each in in_one) < 1e-5
            assert span.score <= float(chances[read].sum()) + 1e-5
    assert found > 10
    assert over > 3


def _of_layer(tags, layer, offsets):
    return decode_spans([layer_tags(tag)[layer] for tag in tags], offsets, "abcd")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"classifier_crf": True},
        {"classifier_reads": "characters"},
        {"classifier_crf": True, "classifier_reads": "characters"},
    ],
)
@pytest.mark.parametrize("strategy", ["simple", "first"])
def test_it_is_the_sum_over_every_sequence_that_is_read_as_the_entity(options, strategy):
    found = 0
    for seed, text in product(range(3), TEXTS):
        if len(text.encode()) > 8 and "classifier_reads" not in options:
            continue
        run = replace(_run(seed, **options), task=TokenClassification(strategy))
        document = Document(text, text)
        [(_, answer)] = predict(run, [document])
        paths, chances, offsets = _paths(run, document)
        starts = range(len(offsets)) if strategy == "simple" else word_starts(offsets, text)
        _, groups = aggregated(np.zeros((len(offsets), 3)), np.array(starts), LABELS, "first")
        spans = [decode_spans([tags[start] for start in starts], offsets, text, groups) for tags in paths]
        for span in answer.spans:
            read = torch.tensor([span in each for each in spans])
            expected = float(chances[read].sum())
            # A blank that is trimmed may have either tag.
            trimmed = text[span.start - 1 : span.start].isspace() or text[span.end : span.end + 1].isspace()
            assert span.score <= expected + 1e-5
            if not trimmed:
                assert span.score == pytest.approx(expected, abs=1e-5)
            found += 1
    assert found > 2


def test_a_few_segments_at_a_time_have_the_same_scores(monkeypatch):
    run, document = _run(seed=2, classifier_crf=True), Document("abcd北" * 9, "a")
    [(_, whole)] = predict(run, [document])
    monkeypatch.setattr("reformer.tasks.documents.confidence.PORTION", 20)
    [(_, parts)] = predict(run, [document])
    assert len(whole.spans) > 5
    assert [span.score for span in parts.spans] == pytest.approx([span.score for span in whole.spans])


@pytest.mark.parametrize("options", [{"classifier_crf": True}, {"classifier_reads": "characters"}])
def test_the_other_texts_of_a_batch_change_no_score(options):
    run = _run(**options)
    documents = [Document(text * repeats, str(repeats)) for text in TEXTS for repeats in (1, 3, 9)]
    together = [answer for _, answer in predict(run, documents)]
    alone = [answer for document in documents for _, answer in predict(run, [document])]
    assert together == alone
    scores = [[span.score for answer in answers for span in answer.spans] for answers in (together, alone)]
    assert len(scores[0]) > 5
    assert max(abs(first - second) for first, second in zip(*scores, strict=True)) < 1e-5


def test_a_temperature_changes_scores_and_no_entity():
    run = _run(classifier_crf=True)
    documents = [Document(text * 5, text) for text in TEXTS]
    plain = [answer for _, answer in predict(run, documents)]
    calibrated = [answer for _, answer in predict(replace(run, calibration=Calibration(2.0, None)), documents)]
    assert plain == calibrated
    for first, second in zip(plain, calibrated, strict=True):
        for before, after in zip(first.spans, second.spans, strict=True):
            odds = (before.score / (1 - before.score)) ** 0.5
            assert after.score == pytest.approx(odds / (1 + odds))


def test_less_confident_entities_are_left_out():
    [(_, answer)] = predict(_run(seed=2), [Document("abcd" * 9, "a")])
    assert len(answer.spans) > 5
    scores = sorted(span.score for span in answer.spans)
    kept = answer.at_least(scores[len(scores) // 2]).spans
    assert [span.score for span in kept] == [s.score for s in answer.spans if s.score >= scores[len(scores) // 2]]
    assert answer.at_least(0.0) == answer


def test_a_run_keeps_its_temperature(tmp_path):
    recipe = checked_recipe(ner_recipe(tmp_path, max_steps=14, batch_tokens=1024))
    metrics = train(recipe, tmp_path / "run", console=Console(quiet=True))
    table, run = metrics["calibration"], load_run(tmp_path / "run")
    assert run.calibration.temperature == table.get("temperature")
    assert {"ece_before", "ece_after"} <= table["validation"].keys() & table["test"].keys()
    if run.calibration.temperature is not None:
        assert table["validation"]["ece_after"] <= table["validation"]["ece_before"] + 0.02
    documents = list(_test_documents(recipe))
    assert evaluate(run, documents) == metrics["test_joined"]
    assert "<h2>test</h2>" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def _test_documents(recipe):
    from reformer.tasks.document_splits import joined, read_source

    return joined(read_source(recipe.data.test, recipe.data), recipe.data)
