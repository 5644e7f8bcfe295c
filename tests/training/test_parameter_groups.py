"""Learning rates and weight decay of each weight."""

import pytest
import torch
from rich.console import Console

from reformer.models import ReformerConfig, ReformerForSequenceClassification, ReformerModel
from reformer.recipe import FinetuneRecipe
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.parameter_groups import learning_rates, parameter_groups
from reformer.training.train import train
from tests.tiny import ner_recipe

SIZES = {"vocab_size": 11, "hidden_size": 8, "num_attention_heads": 1, "attention_head_size": 8, "feed_forward_size": 8}


def _model(**options):
    return ReformerForSequenceClassification(ReformerConfig(**SIZES, attention_layers=["local"] * 3, **options))


def _recipe(**options):
    return FinetuneRecipe(start_from="somewhere", **options)


def test_each_layer_has_a_part_of_the_rate_of_the_one_above():
    rates = learning_rates(_model(), _recipe(layer_decay=0.5, head_learning_rate=7.0), 1.0)
    assert rates["reformer.embeddings.weight"] == 0.125
    layers = [{rate for name, rate in rates.items() if name.startswith(f"reformer.encoder.sublayers.{number}.")}
              for number in range(6)]  # fmt: skip
    assert layers == [{0.25}, {0.25}, {0.5}, {0.5}, {1.0}, {1.0}]
    assert rates["reformer.norm.weight"] == 1.0
    assert rates["classifier.weight"] == rates["classifier.bias"] == 7.0


def test_shared_weights_have_the_rate_of_the_highest_layer_that_uses_them():
    rates = learning_rates(_model(num_distinct_layers=1), _recipe(layer_decay=0.5), 1.0)
    weights = {name: rate for name, rate in rates.items() if name.endswith("inner.weight")}
    assert set(weights.values()) == {1.0}


def test_without_a_choice_all_have_one_rate_and_decay_comes_first():
    model = _model()
    model.reformer.embeddings.requires_grad_(False)
    decayed = {name for name, parameter in model.named_parameters() if parameter.dim() > 1}
    groups = parameter_groups(model, FinetuneRecipe(), 0.5, 0.1, decayed)
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(0.5, 0.1), (0.5, 0.0)]
    grouped = [parameter for group in groups for parameter in group["params"]]
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert {id(parameter) for parameter in grouped} == {id(parameter) for parameter in learned}
    assert len(grouped) == len(learned)


def test_a_backbone_alone_has_no_head():
    model = ReformerModel(_model().config)
    assert set(learning_rates(model, _recipe(head_learning_rate=7.0), 1.0).values()) == {1.0}


@pytest.mark.parametrize(("options", "still"), [({"layer_decay": 1e-30}, True), ({}, False)])
def test_a_run_trains_at_these_rates(options, still, tmp_path):
    train(checked_recipe(ner_recipe(tmp_path)), tmp_path / "start", console=Console(quiet=True))
    tables = ner_recipe(tmp_path) | {"model": {}}
    tables["finetune"] = {"start_from": str(tmp_path / "start"), **options}
    train(checked_recipe(tables), tmp_path / "run", console=Console(quiet=True))
    from reformer.finetuning import load_pretrained

    before, after = load_pretrained(str(tmp_path / "start")), load_pretrained(str(tmp_path / "run"))
    same = torch.equal(before.reformer.embeddings.weight, after.reformer.embeddings.weight)
    assert same is still
    assert not torch.equal(before.reformer.norm.weight, after.reformer.norm.weight)
