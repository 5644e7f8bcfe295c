"""A run that starts from a pretrained model: its weights, tokenizer and architecture."""

import json

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from reformer.data import character_tokenizer
from reformer.errors import ReformerError
from reformer.finetuning import FinetuningError
from reformer.models import ReformerConfig, ReformerForMaskedLM
from reformer.recipe import RecipeError
from reformer.runs.loading import load_run
from reformer.runs.recipe_file import read_recipe
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import InterruptedRunError, train
from reformer.training.trainer import CountingTrainer
from tests.tiny import MODEL, language_recipe, ner_recipe, reviews_recipe
from tests.training.starts import recipe_altering, recipe_from

QUIET = Console(quiet=True)


def test_a_labeller_goes_on_from_where_it_was(labeller, tmp_path, capsys):
    recipe = recipe_from(labeller, ner_recipe(tmp_path, max_steps=1, learning_rate=1e-9))
    metrics = train(recipe, tmp_path / "run")
    assert metrics["test"]["f1"] == json.loads((labeller / "metrics.json").read_text())["test"]["f1"]
    assert metrics["start"] == {"from": str(labeller), "new": [], "dropped": [], "drawn": []}
    assert "new weights" not in capsys.readouterr().err
    assert not (tmp_path / "run" / "start").exists()
    first, second = load_run(labeller), load_run(tmp_path / "run")
    assert first.tokenizer.get_vocab() == second.tokenizer.get_vocab()
    assert first.model.config.attention_layers == second.model.config.attention_layers
    assert second.recipe == recipe
    assert second.recipe.tokenizer.kind == "start"


def test_the_model_table_may_change_what_the_weights_allow(labeller, tmp_path):
    recipe = recipe_from(
        labeller, ner_recipe(tmp_path, max_steps=1), hidden_dropout_prob=0.3, local_window=5, num_rounds=1
    )
    metrics = train(recipe, tmp_path / "run", console=QUIET)
    assert metrics["start"]["drawn"] == ["encoder.sublayers.4.function.rotation_0"]
    assert load_run(tmp_path / "run").model.config.local_window == 5
    with pytest.raises(FinetuningError, match=r"model\.hidden_size = 32: the trained model has 16"):
        train(recipe_from(labeller, ner_recipe(tmp_path), hidden_size=32), tmp_path / "wider", console=QUIET)


def test_a_classifier_from_a_labeller_has_a_new_head(labeller, tmp_path, capsys):
    metrics = train(recipe_from(labeller, reviews_recipe(tmp_path)), tmp_path / "run")
    assert "new weights: classifier.bias, classifier.weight" in capsys.readouterr().err
    assert metrics["start"]["new"] == ["classifier.bias", "classifier.weight"]
    assert metrics["validation"]["accuracy"] == 1.0


def test_a_classifier_from_a_language_model(tmp_path):
    train(checked_recipe(language_recipe(tmp_path, max_steps=2)), tmp_path / "text", console=QUIET)
    metrics = train(recipe_from(tmp_path / "text", reviews_recipe(tmp_path)), tmp_path / "run", console=QUIET)
    assert metrics["start"]["dropped"] == ["lm_head.bias", "lm_head.weight"]
    assert metrics["validation"]["accuracy"] == 1.0
    assert load_run(tmp_path / "run").model.config.is_decoder
    # And on as a language model, of the same weights.
    again = train(
        recipe_from(tmp_path / "text", language_recipe(tmp_path, max_steps=1, learning_rate=1e-9)),
        tmp_path / "again",
        console=QUIET,
    )
    before = json.loads((tmp_path / "text" / "metrics.json").read_text())
    assert again["start"]["new"] == []
    assert again["validation"]["loss"] == pytest.approx(before["validation"]["loss"], abs=1e-6)


def test_a_labeller_from_a_masked_language_model_that_is_no_run(tmp_path):
    tokenizer = character_tokenizer(["王小明李华张伟北京上海昌平区新华社人民日报去了的。"])
    model = ReformerForMaskedLM(ReformerConfig(**MODEL, vocab_size=len(tokenizer)))
    model.save_pretrained(tmp_path / "masked")
    with pytest.raises(FinetuningError, match=r"masked: there is no tokenizer beside this model"):
        train(recipe_from(tmp_path / "masked", ner_recipe(tmp_path)), tmp_path / "run", console=QUIET)
    tokenizer.save_pretrained(tmp_path / "masked")
    metrics = train(
        recipe_from(tmp_path / "masked", ner_recipe(tmp_path, max_steps=60)), tmp_path / "run", console=QUIET
    )
    assert metrics["test"]["f1"] > 0.9
    assert metrics["start"]["new"] == ["classifier.bias", "classifier.weight"]


def test_longer_sequences_than_the_start_reads_are_refused(tmp_path):
    tables = language_recipe(tmp_path, max_steps=2)
    tables["model"] |= {"max_position_embeddings": 128}
    train(checked_recipe(tables), tmp_path / "text", console=QUIET)
    tables["data"]["sequence_length"] = 256
    with pytest.raises(ReformerError, match=r"sequence_length = 256: the model reads at most 128"):
        train(recipe_from(tmp_path / "text", tables), tmp_path / "run", console=QUIET)
    train(recipe_from(tmp_path / "text", tables, max_position_embeddings=256), tmp_path / "run", console=QUIET)


def test_a_start_that_is_not_there_leaves_nothing(tmp_path):
    with pytest.raises(FinetuningError, match="there is no such folder"):
        train(recipe_from(tmp_path / "none", ner_recipe(tmp_path)), tmp_path / "run", console=QUIET)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("tokenizer", "same"),
    [
        ({"kind": "start"}, True),
        ({"kind": "character"}, True),
        ({"kind": "character", "vocab_size": 270}, False),
        ({"kind": "byte"}, False),
    ],
)
def test_another_tokenizer_than_that_of_the_start_is_refused(labeller, tmp_path, tokenizer, same):
    tables = ner_recipe(tmp_path, max_steps=1) | {
        "model": {},
        "tokenizer": tokenizer,
        "finetune": {"start_from": str(labeller)},
    }
    if same:
        train(checked_recipe(tables), tmp_path / "run", console=QUIET)
        return
    with pytest.raises(FinetuningError, match=r"\[tokenizer\] kind = .* is another tokenizer than that of .*run"):
        train(checked_recipe(tables), tmp_path / "run", console=QUIET)


def test_a_tokenizer_of_no_start_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r'tokenizer\.kind = "start": there is no start; give finetune\.start_from'):
        checked_recipe(ner_recipe(tmp_path) | {"tokenizer": {"kind": "start"}})


def test_the_recipe_of_a_fine_tuning_is_read_back_the_same(labeller, tmp_path):
    train(recipe_from(labeller, ner_recipe(tmp_path, max_steps=1)), tmp_path / "run", console=QUIET)
    text = (tmp_path / "run" / "recipe.toml").read_text(encoding="utf-8")
    assert f'[finetune]\nstart_from = "{labeller}"' in text
    assert "[model]" not in text
    assert read_recipe(tmp_path / "run" / "recipe.toml") == load_run(tmp_path / "run").recipe
    assert "[finetune]" not in (labeller / "recipe.toml").read_text(encoding="utf-8")


def test_what_is_frozen_keeps_its_weights_and_has_no_state(labeller, tmp_path, monkeypatch):
    recipe = recipe_from(labeller, ner_recipe(tmp_path, max_steps=3))
    recipe = recipe.model_copy(update={"finetune": recipe.finetune.model_copy(update={"freeze": ["embeddings", "0"]})})
    optimizers = []
    create = CountingTrainer.create_optimizer
    monkeypatch.setattr(CountingTrainer, "create_optimizer", lambda self, *a: optimizers.append(create(self, *a)))
    train(recipe, tmp_path / "run", console=QUIET)
    before, after = load_file(labeller / "model.safetensors"), load_file(tmp_path / "run" / "model.safetensors")
    below = ("reformer.embeddings.", *(f"reformer.encoder.sublayers.{index}." for index in range(3)))
    for name, weight in before.items():
        if "rotation" not in name:
            assert torch.equal(weight, after[name]) == name.startswith(below), name
    learned = [p for group in optimizers[0].param_groups for p in group["params"]]
    assert len(learned) == sum(1 for name in before if not name.startswith(below) and "rotation" not in name)
    assert len(optimizers[0].state) == len(learned)


def test_freezing_needs_a_start(tmp_path):
    with pytest.raises(RecipeError, match="freeze: there is no trained model to do this with; give start_from"):
        checked_recipe(ner_recipe(tmp_path) | {"finetune": {"freeze": ["0"]}})


def test_a_trimmed_labeller_tells_what_each_layer_is_worth(labeller, tmp_path, capsys):
    recipe = recipe_altering(labeller, ner_recipe(tmp_path, max_steps=20), prune_layers=1)
    metrics = train(recipe, tmp_path / "run")
    start = metrics["start"]
    assert len(start["kept"]) == 1
    assert len(start["worth"]) == 2
    assert start["score"] == json.loads((labeller / "metrics.json").read_text())["validation"]["f1"]
    said = capsys.readouterr().err
    assert all(f"layer {number}: without it f1" in said for number in (0, 1))
    assert load_run(tmp_path / "run").model.config.num_hidden_layers == 1
    assert metrics["training"]["weights"] < json.loads((labeller / "metrics.json").read_text())["training"]["weights"]
    kept = recipe_altering(labeller, ner_recipe(tmp_path, max_steps=1), prune_tolerance=0.0)
    assert train(kept, tmp_path / "kept", console=QUIET)["start"]["trimmed_score"] >= start["score"]


def test_a_wider_labeller_of_fewer_layers_resumes(labeller, tmp_path, interrupt_at):
    recipe = recipe_altering(labeller, ner_recipe(tmp_path, max_steps=6), keep_layers=[1], hidden_size=32)
    whole = train(recipe, tmp_path / "whole", console=QUIET)
    assert load_run(tmp_path / "whole").model.config.hidden_size == 32
    interrupt_at(3)
    with pytest.raises(InterruptedRunError):
        train(recipe, tmp_path / "parts", console=QUIET)
    interrupt_at(-1)
    parts = train(recipe, tmp_path / "parts", resume=True, console=QUIET)
    assert parts["start"] == whole["start"]
    assert parts["validation"] == whole["validation"]


def test_layers_share_on_request(tmp_path):
    tables = ner_recipe(tmp_path, max_steps=4)
    tables["model"] |= {"attention_layers": ["local"] * 4}
    train(checked_recipe(tables), tmp_path / "first", console=QUIET)
    metrics = train(recipe_altering(tmp_path / "first", tables, distinct_layers=2), tmp_path / "run", console=QUIET)
    assert metrics["start"]["distinct_layers"] == 2
    assert load_run(tmp_path / "run").model.config.num_distinct_layers == 2


def test_a_head_that_has_learned_nothing_cannot_tell_what_a_layer_is_worth(labeller, tmp_path):
    tables = reviews_recipe(tmp_path)
    del tables["tokenizer"]
    with pytest.raises(FinetuningError, match=r"classifier\.bias, classifier\.weight are new .*by keep_layers"):
        train(recipe_altering(labeller, tables, prune_layers=1), tmp_path / "run", console=QUIET)


def test_which_layers_go_is_said_in_one_way(labeller, tmp_path):
    with pytest.raises(RecipeError, match="keep_layers and prune_layers say each which layers go; give one of them"):
        recipe_altering(labeller, ner_recipe(tmp_path), keep_layers=[0], prune_layers=1)


def test_a_labeller_without_some_heads_tells_what_each_is_worth(labeller, tmp_path, capsys):
    metrics = train(recipe_altering(labeller, ner_recipe(tmp_path, max_steps=20), prune_heads=1), tmp_path / "run")
    start = metrics["start"]
    assert [len(heads) for heads in start["kept_heads"]] == [1, 1]
    assert start["score"] == json.loads((labeller / "metrics.json").read_text())["validation"]["f1"]
    assert "f1 without its head 0 " in capsys.readouterr().err
    kinds = load_run(tmp_path / "run").model.config.attention_layers
    assert all(sorted(kind == "none" for kind in layer) == [False, True] for layer in kinds)
    named = recipe_altering(labeller, ner_recipe(tmp_path, max_steps=1), keep_heads=[[1], [0, 1]])
    assert train(named, tmp_path / "named", console=QUIET)["start"]["kept_heads"] == [[1], [0, 1]]
    with pytest.raises(RecipeError, match="prune_heads and prune_heads_tolerance say each which heads go"):
        recipe_altering(labeller, ner_recipe(tmp_path), prune_heads=1, prune_heads_tolerance=0.1)


def test_rare_groups_are_counted_before_the_first_step_and_kept(tmp_path):
    tables = ner_recipe(tmp_path, max_steps=3, num_evaluations=1)
    tables["model"] |= {"ngram_sizes": [2], "ngram_rows": 4099, "ngram_width": 4, "ngram_min_frequency": 3}
    train(checked_recipe(tables), tmp_path / "run", console=QUIET)
    frequent = load_run(tmp_path / "run").model.base_model.ngrams.frequent
    # The few words of the sentences give a few dozen pairs, names among them that come up less than three times.
    assert 10 < int(frequent.sum()) < 200
