"""Balance of unequal classes: weights of the loss, and sampling."""

import numpy as np
import pytest
import torch
from rich.console import Console

from reformer.data.batching.token_batches import TokenBatches, balanced
from reformer.recipe import RecipeError
from reformer.tasks.recipe_checks import checked_recipe
from reformer.tasks.registry import TASKS
from reformer.training.train import train
from tests.contract.models import HEADS, LABELS, random_ids
from tests.tiny import ner_recipe, reviews_recipe


def _unequal(folder, **training):
    tables = reviews_recipe(folder, **training)
    lines = (folder / "reviews.csv").read_text(encoding="utf-8").splitlines()
    few = [line for line in lines if line.endswith("neg")][:6]
    kept = [line for line in lines if not line.endswith("neg")]
    (folder / "reviews.csv").write_text("\n".join([*kept, *few]) + "\n", encoding="utf-8")
    tables["data"]["validation_fraction"] = 0.2
    return tables


@pytest.mark.parametrize("balance", [{"class_weights": "balanced"}, {"sampling": "balanced"}])
def test_a_run_can_balance_its_classes_and_be_resumed_so(tmp_path, balance):
    recipe = checked_recipe(_unequal(tmp_path, **balance))
    metrics = train(recipe, tmp_path / "run", console=Console(quiet=True))
    again = train(recipe, tmp_path / "again", console=Console(quiet=True))
    assert metrics["validation"] == again["validation"]
    plain = train(checked_recipe(_unequal(tmp_path)), tmp_path / "plain", console=Console(quiet=True))
    assert metrics["validation"] != plain["validation"]


def test_balanced_batches_have_each_class_equally_often(tmp_path):
    recipe = checked_recipe(_unequal(tmp_path, sampling="balanced"))
    data = TASKS["sequence-classification"].load_data(recipe)
    batches = data.batches(data.train, recipe.training, shuffle=True, rank=0, world_size=1)
    read = [index for batch in batches for index in batch]
    labels = [int(data.train[index].target) for index in read]
    assert labels.count(0) == labels.count(1)
    assert set(read) == set(range(len(data.train)))
    batches.set_epoch(1)
    assert sorted(index for batch in batches for index in batch) == sorted(read)
    # Validation is measured as it is.
    held_out = data.batches(data.validation, recipe.training, shuffle=False, rank=0, world_size=1)
    assert sorted(index for batch in held_out for index in batch) == list(range(len(data.validation)))


def test_chosen_indices_are_read_as_often_as_they_stand_there():
    lengths = [5, 9, 5, 7]
    batches = TokenBatches(lengths, batch_tokens=None, batch_size=2, shuffle=True, chosen=np.array([0, 0, 3, 3, 3, 1]))
    assert sorted(index for batch in batches for index in batch) == [0, 0, 1, 3, 3, 3]
    assert balanced(np.array([2, 0, 2])).tolist() == [1, 1, 0, 2]


def test_the_loss_of_rare_classes_counts_more_in_training_alone():
    model = HEADS["sequence-classification"].build("local", hidden_dropout_prob=0.0)
    ids, labels = random_ids(3, 7), torch.tensor([1, 1, 4])
    before = model(input_ids=ids, labels=labels).loss
    model.class_weights = torch.ones(2, LABELS)
    model.class_weights[1, 4] = 5.0
    assert torch.equal(model(input_ids=ids, labels=labels).loss, before)
    each = torch.stack([model(input_ids=ids[i : i + 1], labels=labels[i : i + 1]).loss for i in range(3)])
    model.train()
    trained = model(input_ids=ids, labels=labels).loss
    assert torch.isclose(trained, (each * torch.tensor([1.0, 1.0, 5.0])).mean(), atol=1e-3)
    assert "class_weights" not in model.state_dict()


@pytest.mark.parametrize("field", ["class_weights", "sampling"])
def test_tasks_without_a_class_for_each_record_refuse_it(tmp_path, field):
    with pytest.raises(RecipeError, match=f"training.{field} is for sequence-classification and image-classification"):
        checked_recipe(ner_recipe(tmp_path, **{field: "balanced"}))
