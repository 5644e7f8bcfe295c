"""A batch in parts, a thread each: the gradients of the whole batch, and draws that no other thread changes."""

from contextlib import nullcontext

import pytest
import torch

from reformer.models import ReformerConfig, ReformerForForecasting
from reformer.training.batch_parts import PartThreads
from tests.contract.models import HEADS, heads_and_variants, random_ids

SERIES = {"hidden_size": 32, "num_attention_heads": 2, "attention_head_size": 16, "feed_forward_size": 32}


@pytest.fixture(scope="module")
def threads():
    found = PartThreads(2)
    yield found
    found.close()


def loss(items):
    return lambda model, part: model(**part, num_items_in_batch=items).loss


def batch_of(head):
    ids = random_ids(5, 23)
    mask = torch.ones_like(ids)
    mask[1, 17:], mask[4, 9:] = 0, 0
    labels = {name: each.clone() for name, each in head.labels(ids).items()}
    for name, each in labels.items():
        if each.shape == ids.shape:
            each[mask == 0] = -100
        elif name.endswith("positions"):
            # No answer ends in padding.
            each.clamp_(max=8)
    return {"input_ids": ids, "attention_mask": mask, **labels}


def items_of(model, batch):
    count = getattr(model, "count_items", None)
    return int((batch["labels"] != -100).sum() if count is None else count(batch))


def gradients(model):
    return {name: None if each.grad is None else each.grad.clone() for name, each in model.named_parameters()}


@heads_and_variants()
def test_gradients_are_those_of_the_whole_batch(head, variant, threads):
    # In evaluation hashes are not drawn anew, so parts and whole see the same.
    model, batch = head.build(variant).double(), batch_of(head)
    items = items_of(model, batch)
    whole = loss(items)(model, batch)
    whole.backward()
    expected = gradients(model)
    model.zero_grad()
    parts = threads.split(batch)
    assert [len(part["input_ids"]) for part in parts] == [3, 2]
    found = threads.backward(model, parts, loss(items), nullcontext)
    # The loss of classes is in float32.
    assert abs(float(found - whole.detach())) < 1e-5
    for name, gradient in gradients(model).items():
        assert (gradient is None) == (expected[name] is None), name
        assert gradient is None or (gradient - expected[name]).abs().max() < 1e-6, name


# What a head draws itself, any layers show.
@heads_and_variants(HEADS, ("token-classification", "encoder-decoder"), ("mixed",))
def test_draws_depend_on_the_seed_alone(head, variant, threads):
    options = {"hidden_dropout_prob": 0.2, "token_dropout": 0.2}
    if variant == "ngrams":
        options["ngram_dropout"] = 0.3
    model, batch = head.build(variant, **options).train(), batch_of(head)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        model.zero_grad()
        threads.backward(model, threads.split(batch), loss(7), nullcontext)
        found.append(gradients(model))
    names = [name for name, gradient in found[0].items() if gradient is not None]
    assert all(torch.equal(found[0][name], found[1][name]) for name in names)
    assert not all(torch.equal(found[0][name], found[2][name]) for name in names)


def test_questions_without_an_answer_are_no_items(threads):
    model, batch = HEADS["question-answering"].build("local").double(), batch_of(HEADS["question-answering"])
    batch["start_positions"][:2] = batch["end_positions"][:2] = -1
    items = items_of(model, batch)
    assert items == 6
    whole = loss(None)(model, batch)
    found = threads.backward(model, threads.split(batch), loss(items), nullcontext)
    assert abs(float(found - whole.detach())) < 1e-5


@pytest.mark.parametrize("quantiles", [[], [0.1, 0.5, 0.9]])
def test_a_forecasters_gradients_are_those_of_the_whole_batch(quantiles, threads):
    torch.manual_seed(0)
    config = ReformerConfig(
        vocab_size=0, prediction_length=4, patch_size=4, quantiles=quantiles, attention_layers=["local"], **SERIES
    )
    model = ReformerForForecasting(config).double().eval()
    batch = {"values": torch.randn(5, 24, 2).double(), "labels": torch.randn(5, 4, 2).double()}
    batch["labels"][:2, 1:], batch["values"][3, :9] = float("nan"), float("nan")
    whole = model(**batch).loss
    whole.backward()
    expected = gradients(model)
    model.zero_grad()
    items = items_of(model, batch)
    assert items == 5 * 4 * 2 - 2 * 3 * 2
    found = threads.backward(model, threads.split(batch), loss(items), nullcontext)
    assert abs(float(found - whole.detach())) < 1e-9
    for name, gradient in gradients(model).items():
        assert gradient is None or (gradient - expected[name]).abs().max() < 1e-9, name
