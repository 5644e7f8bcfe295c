"""Batches are cut into parts that add up to whole rows; what is not of tokens stays whole."""

import pytest
import torch
import torch.distributed as dist

from reformer.parallel import SequenceGroup, part_lengths, shard_sequence


@pytest.fixture
def alone():
    """A group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)  # pyright: ignore[reportPrivateImportUsage]
    yield SequenceGroup()
    dist.destroy_process_group()


@pytest.mark.parametrize(("length", "parts"), [(0, 2), (1, 3), (7, 3), (8, 4)])
def test_parts_are_as_equal_as_can_be(length, parts):
    found = part_lengths(length, parts)
    assert sum(found) == length
    assert max(found) - min(found) <= 1
    assert found == sorted(found, reverse=True)


def test_what_is_of_tokens_is_cut(alone):
    # As the second of two processes has it.
    alone.collectives.process, alone.collectives.processes = 1, 2
    ids = torch.arange(10).view(2, 5)
    batch = {"input_ids": ids, "labels": torch.tensor([0, 1]), "num_rounds": 2, "attention_mask": ids > 0}
    found = shard_sequence(batch, alone)
    assert found["input_ids"].tolist() == [[3, 4], [8, 9]]
    assert found["attention_mask"].shape == (2, 2)
    assert found["labels"] is batch["labels"]
    assert found["num_rounds"] == 2
    assert shard_sequence(batch, alone, lengths=[5, 0])["input_ids"].shape == (2, 0)
    assert shard_sequence(batch, alone, of_tokens=["attention_mask"])["input_ids"] is ids


@pytest.mark.parametrize("lengths", [[2, 2], [6, -1], [5]])
def test_lengths_that_do_not_fit_are_refused(alone, lengths):
    alone.collectives.process, alone.collectives.processes = 0, 2
    with pytest.raises(ValueError, match="expected one each"):
        shard_sequence({"input_ids": torch.zeros(1, 5)}, alone, lengths=lengths)


def test_a_batch_without_tokens_is_refused(alone):
    with pytest.raises(ValueError, match="a batch of labels: expected input_ids"):
        shard_sequence({"labels": torch.zeros(1)}, alone)


def test_a_copied_model_is_of_the_same_group(alone):
    import copy

    assert copy.deepcopy({"group": alone})["group"] is alone
