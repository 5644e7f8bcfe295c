"""A run whose model has a wide part begins at the score of the classical method and never ends below it."""

import json

import pytest
import torch
from rich.console import Console
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer
from transformers import PreTrainedTokenizerFast

from reformer.baselines import ngram_tagger
from reformer.baselines.ngram_tagger import MissingPackageError
from reformer.recipe import RecipeError
from reformer.runs.loading import load_run
from reformer.tasks.documents.prediction import predict
from reformer.tasks.recipe_checks import checked_recipe
from reformer.tasks.registry import TASKS
from reformer.training.train import InterruptedRunError, train
from tests.tiny import ner_recipe, pairs_recipe, reviews_recipe

QUIET = Console(quiet=True)
WORDS = ["[PAD]", "[UNK]", *sorted(set("很好满意太差退货")), *(f"##{each}" for each in sorted(set("很好满意太差退货")))]


def _labeller(folder, **training):
    tables = ner_recipe(folder, **training)
    tables["model"] |= {"wide_sizes": [1, 2, 3], "wide_rows": 4096, "classifier_crf": True}
    return tables


def _reader(folder, **training):
    tables = _labeller(folder, **training)
    tables["model"]["classifier_reads"] = "characters"
    return tables


def _classifier(folder, **training):
    tables = reviews_recipe(folder, **training)
    tables["tokenizer"] = {"kind": "character"}
    tables["model"] |= {"wide_sizes": [1, 2, 3], "wide_rows": 4096}
    return tables


def _spelled(folder, **training):
    """Of words as tokens, whose characters the wide part reads."""
    tables = _classifier(folder, **training)
    backend = Tokenizer(WordPiece({token: number for number, token in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.pre_tokenizer = BertPreTokenizer()
    PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(
        folder / "words"
    )
    tables["tokenizer"] = {"kind": str(folder / "words")}
    tables["model"]["wide_reads"] = "characters"
    return tables


@pytest.mark.parametrize(
    ("tables", "metric"),
    [(_labeller, "f1"), (_reader, "f1"), (_classifier, "macro_f1"), (_spelled, "macro_f1")],
)
def test_the_best_weights_are_at_least_those_before_the_first_step(tables, metric, tmp_path):
    # So great a rate that whatever was learned is lost.
    recipe = checked_recipe(tables(tmp_path, max_steps=4, epochs=None, num_evaluations=2, learning_rate=10.0))
    metrics = train(recipe, tmp_path / "run", console=QUIET)
    assert metrics["validation"]["step"] == 0
    assert metrics["validation"][metric] == metrics["baseline"]["validation"][metric] == 1
    run = load_run(tmp_path / "run")
    assert not run.model.classifier.weight.any()
    assert run.model.wide.table.any()


@pytest.mark.parametrize("tables", [_labeller, _reader, _classifier, _spelled])
def test_the_deep_part_learns_beside_it(tables, tmp_path):
    metrics = train(
        checked_recipe(tables(tmp_path, max_steps=30, epochs=None, baseline="none")), tmp_path / "run", console=QUIET
    )
    assert metrics["validation"]["f1" if "f1" in metrics["validation"] else "macro_f1"] == 1
    history = metrics["training"]
    assert history["steps"] == 30


@pytest.mark.parametrize("tables", [_labeller, _reader])
def test_the_wide_part_alone_tags_as_the_classical_method(tables, tmp_path):
    recipe = checked_recipe(tables(tmp_path, max_steps=1, learning_rate=1e-12))
    metrics = train(recipe, tmp_path / "run", console=QUIET)
    assert metrics["test"]["f1"] == metrics["baseline"]["test"]["f1"] == 1


def test_a_long_document_is_predicted_as_in_the_recipe(tmp_path):
    from reformer.data import Document

    train(checked_recipe(_labeller(tmp_path, max_steps=2)), tmp_path / "run", console=QUIET)
    run = load_run(tmp_path / "run")
    text = "王小明去了北京的新华社。\n" * 40
    [(_, answer)] = predict(run, [Document(text, "long")])
    assert len(answer.spans) == 120


@pytest.mark.parametrize("tables", [_labeller, _spelled])
def test_a_resumed_run_is_the_uninterrupted_one(tables, tmp_path, interrupt_at):
    recipe = checked_recipe(tables(tmp_path))
    whole = train(recipe, tmp_path / "whole", console=QUIET)
    interrupt_at(6)
    with pytest.raises(InterruptedRunError):
        train(recipe, tmp_path / "run", console=QUIET)
    interrupt_at(10**6)
    resumed = train(recipe, tmp_path / "run", resume=True, console=QUIET)
    assert resumed["validation"] == whole["validation"]
    first, second = (load_run(tmp_path / name).model.state_dict() for name in ("whole", "run"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_classifier_learns_beside_what_is_said_of_texts_that_are_new(tmp_path):
    """In training alone: the logits of fits without the text, and of validation texts those of the wide part."""
    recipe = checked_recipe(_classifier(tmp_path))
    task = TASKS[recipe.training.task].for_recipe(recipe)
    data = task.load_data(recipe)
    model = task.head(data.config)
    data.fit_wide(model, resumed=False)
    batch = data.collate([data.train[index] for index in range(4)])
    assert batch["wide_logits"].shape == (4, 2)
    own = model.eval()(**{name: each for name, each in batch.items() if name != "wide_logits"}).logits
    given = model(**batch).logits
    assert torch.equal(given, batch["wide_logits"])
    assert (own - given).abs().min() > 1e-3
    assert "wide_logits" not in data.collate([data.validation[0]])


def test_a_run_that_starts_from_one_keeps_its_wide_part(tmp_path, monkeypatch):
    train(checked_recipe(_labeller(tmp_path, max_steps=2)), tmp_path / "first", console=QUIET)
    tables = _labeller(tmp_path, max_steps=2, baseline="none")
    tables["model"] = {}
    tables["finetune"] = {"start_from": str(tmp_path / "first"), "lora_rank": 2}
    monkeypatch.setattr(ngram_tagger.NgramTagger, "fit", None)
    train(checked_recipe(tables), tmp_path / "second", console=QUIET)
    first, second = (load_run(tmp_path / name).model.wide.table for name in ("first", "second"))
    assert torch.equal(first, second)


def test_a_new_head_has_a_new_wide_part_in_its_adapter(tmp_path):
    plain = ner_recipe(tmp_path, max_steps=2)
    train(checked_recipe(plain), tmp_path / "first", console=QUIET)
    tables = _labeller(tmp_path, max_steps=2)
    tables["model"] = {"wide_sizes": [1, 2, 3], "wide_rows": 4096, "classifier_crf": True}
    tables["finetune"] = {"start_from": str(tmp_path / "first"), "lora_rank": 2}
    metrics = train(checked_recipe(tables), tmp_path / "second", console=QUIET)
    assert "wide.table" in json.loads((tmp_path / "second" / "metrics.json").read_text())["start"]["new"]
    run = load_run(tmp_path / "second")
    assert run.model.wide.table.any()
    assert run.task.evaluate is not None
    assert metrics["validation"]["f1"] == 1


def test_only_classifiers_of_texts_have_one(tmp_path):
    tables = pairs_recipe(tmp_path)
    tables["model"]["wide_sizes"] = [1, 2]
    with pytest.raises(RecipeError, match="wide_sizes is for token-classification and sequence-classification"):
        checked_recipe(tables)


def test_a_labeller_needs_its_random_field(tmp_path):
    tables = _labeller(tmp_path)
    tables["model"]["classifier_crf"] = False
    with pytest.raises(RecipeError, match=r"that of a conditional random field; set model\.classifier_crf = true"):
        checked_recipe(tables)


def test_types_that_do_not_count_are_too_many_to_fit(tmp_path):
    with pytest.raises(RecipeError, match=r"model\.wide_sizes with training\.entity_types: .* leave out one of them"):
        checked_recipe(_labeller(tmp_path, entity_types=["LOC"]))


def test_a_missing_package_is_an_error_of_the_wide_part(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pycrfsuite", None)
    with pytest.raises(MissingPackageError, match="pip install python-crfsuite"):
        train(checked_recipe(_labeller(tmp_path)), tmp_path / "run", console=QUIET)


def test_the_wide_part_of_a_labeller_reads_what_is_labelled(tmp_path):
    tables = _labeller(tmp_path)
    tables["model"]["wide_reads"] = "characters"
    with pytest.raises(RecipeError, match="wide_reads is for sequence-classification"):
        checked_recipe(tables)
