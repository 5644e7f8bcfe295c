"""Checkpoints of sharded weights in one process: what is read is what was written, and whole models are filled."""

import pytest
import torch

from reformer.training.sharded_checkpoints import Blueprint, load_optimizer, load_weights, save_shards
from reformer.training.sharded_trainer import _EquallyMany
from tests.contract.models import HEADS, random_ids


def _trained(variant: str, steps: int, **options):
    torch.manual_seed(1)
    model = HEADS["causal-lm"].build(variant, tie_word_embeddings=True, **options).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    _train(model, optimizer, steps)
    return model, optimizer


def _train(model, optimizer, steps):
    torch.manual_seed(0)
    ids = random_ids(2, 23)
    for seed in range(steps):
        torch.manual_seed(seed)
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("variant", ["mixed", "shared"])
def test_training_goes_on_from_shards(variant, tmp_path):
    model, optimizer = _trained(variant, 2)
    save_shards(model, optimizer, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["shard-00001-model-00001-of-00001.safetensors"]
    other, its_optimizer = _trained(variant, 0)
    load_weights(other, tmp_path)
    load_optimizer(other, its_optimizer, tmp_path)
    for each in ((model, optimizer), (other, its_optimizer)):
        _train(*each, 2)
    for (name, expected), found in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(expected, found), name


@pytest.mark.parametrize("variant", ["mixed", "shared", "hourglass"])
def test_a_blueprint_holds_no_weights_and_is_filled_with_those_of_a_checkpoint(variant, tmp_path):
    torch.manual_seed(1)
    model = HEADS["causal-lm"].build(variant, tie_word_embeddings=True)
    embeddings = model.get_input_embeddings()
    blueprint = Blueprint(model, [embeddings])
    assert all(each.is_meta for each in blueprint._kept[0].parameters())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    save_shards(model, torch.optim.AdamW(model.parameters()), tmp_path)
    filled, (others,) = blueprint.filled(tmp_path, torch.device("cpu"))
    assert others is filled.get_input_embeddings()
    assert filled.get_output_embeddings().weight is others.weight
    ids = random_ids(2, 23)
    with torch.no_grad():
        assert torch.equal(filled(input_ids=ids).logits, model(input_ids=ids).logits)


@pytest.mark.parametrize(("count", "processes"), [(5, 2), (6, 2), (1, 3), (2, 3)])
def test_an_evaluation_is_shared_out_in_equally_many_batches(count, processes):
    batches = [[number, number] for number in range(count)]
    shares = [_EquallyMany(batches, rank, processes) for rank in range(processes)]  # pyright: ignore[reportArgumentType]
    assert len({len(share) for share in shares}) == 1
    own = [batch for share in shares for batch in list(share)[: share.own]]
    assert sorted(own) == batches
