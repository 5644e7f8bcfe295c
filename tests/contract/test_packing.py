"""Documents that share a row are read as if each had one of its own."""

import pytest
import torch
from transformers import DataCollatorWithFlattening

from tests.contract.models import HEADS, VARIANTS, random_ids, within

LENGTHS = (7, 1, 30, 12)


def _packed(ids):
    positions = torch.cat([torch.arange(length) for length in LENGTHS])[None]
    return {"input_ids": ids, "position_ids": positions}


def _apart(values):
    return values.split(LENGTHS, 1)


@pytest.mark.parametrize("head", ["causal-lm", "token-classification", "causal-token-classification"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_documents_of_a_row_do_not_see_each_other(head, variant):
    def difference(model):
        ids = random_ids(1, sum(LENGTHS))
        with torch.no_grad():
            found = model(**_packed(ids)).logits
            expected = torch.cat([model(input_ids=part).logits for part in _apart(ids)], 1)
        return (found - expected).abs().max() / expected.abs().max()

    assert within(1e-5, HEADS[head], variant, difference)


@pytest.mark.parametrize("variant", ["full", "lsh", "mixed", "post-norm"])
@pytest.mark.parametrize("head", ["causal-lm", "masked-lm", "token-classification"])
def test_their_loss_is_that_of_the_documents(head, variant):
    """`DataCollatorWithFlattening` leaves out the loss of each document's first token, and so does a causal model."""
    model, ids = HEADS[head].build(variant), random_ids(1, sum(LENGTHS))
    labels = HEADS[head].labels(ids)["labels"]
    model(**_packed(ids), labels=labels, num_items_in_batch=10).loss.backward()
    found = [parameter.grad for parameter in model.parameters()]
    model.zero_grad()
    for part, each in zip(_apart(ids), _apart(labels), strict=True):
        model(input_ids=part, labels=each, num_items_in_batch=10).loss.backward()
    for expected, gradient in zip(model.parameters(), found, strict=True):
        assert (gradient is None) == (expected.grad is None)
        if gradient is not None:
            assert (gradient - expected.grad).abs().max() <= 1e-4 * expected.grad.abs().max().clamp_min(1)


def test_what_transformers_collator_makes_is_read():
    model, ids = HEADS["causal-lm"].build(), random_ids(1, sum(LENGTHS))
    features = [{"input_ids": part[0].tolist()} for part in _apart(ids)]
    batch = DataCollatorWithFlattening(return_flash_attn_kwargs=True, return_seq_idx=True)(features)
    with torch.no_grad():
        found = model(**batch)
        expected = model(**_packed(ids), labels=ids)
        assert torch.equal(found.logits, expected.logits)
        assert (found.loss - expected.loss).abs() < 1e-6
        del batch["position_ids"]
        assert torch.equal(model(**batch).logits, expected.logits)
        # It is a bound, which may be that of all batches.
        assert batch["max_length_q"] == max(LENGTHS)
        assert torch.equal(model(**{**batch, "max_length_q": 100}).logits, expected.logits)
        with pytest.raises(ValueError, match="max_length_k=29, and a document of 30 tokens: expected the length of"):
            model(**{**batch, "max_length_k": 29})


def test_rows_may_be_padded_and_have_documents_of_their_own():
    model, ids = HEADS["token-classification"].build("mixed"), random_ids(2, 20)
    mask = torch.ones(2, 20, dtype=torch.int64)
    mask[0, :3] = 0
    positions = torch.stack((torch.cat((torch.full((3,), 1), torch.arange(17))), torch.arange(20) % 10))
    with torch.no_grad():
        found = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits
        parts = [model(input_ids=part).logits for part in (ids[:1, 3:], ids[1:, :10], ids[1:, 10:])]
    for row, part in ((found[:1, 3:], parts[0]), (found[1:, :10], parts[1]), (found[1:, 10:], parts[2])):
        assert (row - part).abs().max() < 1e-5 * part.abs().max()


def test_positions_that_every_row_has_anyway_change_nothing():
    model, ids = HEADS["causal-lm"].build(), random_ids(2, 20)
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        assert torch.equal(model(input_ids=ids, position_ids=torch.arange(20)[None]).logits, expected)
        begun = model(input_ids=ids[:, :12], use_cache=True)
        after = model(
            input_ids=ids[:, 12:], past_key_values=begun.past_key_values, position_ids=torch.arange(12, 20)[None]
        )
    assert (after.logits - expected[:, 12:]).abs().max() < 1e-4 * expected.abs().max()


def test_generation_goes_on_from_positions():
    model, ids = HEADS["causal-lm"].build(), random_ids(1, 12)
    plain = model.generate(input_ids=ids, max_new_tokens=5, do_sample=False)
    told = model.generate(
        input_ids=ids, position_ids=torch.arange(12)[None], max_new_tokens=5, do_sample=False, use_cache=True
    )
    assert torch.equal(plain, told)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"position_ids": torch.arange(3, 23)[None]},
            "position_ids have 3 in row 0, which is the first: positions are",
        ),
        ({"position_ids": torch.arange(0, 40, 2)[None]}, "position_ids have 2 in row 0, which follows 0"),
        ({"position_ids": torch.arange(19)[None]}, r"position_ids have shape \(1, 19\), expected \(1, 20\)"),
        ({"cu_seq_lens_q": torch.tensor([0, 5])}, r"cu_seq_lens_q=\[0, 5\] for input of shape \(1, 20\): expected one"),
        ({"cu_seq_lens_q": torch.tensor([0, 25, 20])}, "expected one row, and cumulative lengths from 0 to 20"),
        ({"seq_idx": torch.zeros(1, 19)}, r"seq_idx has shape \(1, 19\), expected \(1, 20\)"),
        ({"max_length_q": 5}, "max_length_q without position_ids or cu_seq_lens_q"),
        (
            {"position_ids": torch.arange(20)[None], "cu_seq_lens_q": torch.tensor([0, 5, 20])},
            "cu_seq_lens_q and position_ids begin documents at different tokens",
        ),
        (
            {"cu_seq_lens_q": torch.tensor([0, 5, 20]), "cu_seq_lens_k": torch.tensor([0, 6, 20])},
            "cu_seq_lens_k and cu_seq_lens_q begin documents at different tokens",
        ),
        ({"position_ids": torch.arange(20)[None], "max_length_q": 19}, "max_length_q=19, and a document of 20 tokens"),
    ],
)
def test_other_positions_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        HEADS["causal-lm"].build()(input_ids=random_ids(1, 20), **arguments)


@pytest.mark.parametrize("head", ["sequence-classification", "question-answering", "random-field"])
def test_a_head_that_makes_one_document_of_a_row_refuses_several(head):
    with pytest.raises(ValueError, match="several documents in a row, for Reformer"):
        HEADS[head].build()(**_packed(random_ids(1, sum(LENGTHS))))


def test_a_cache_is_of_one_document():
    with pytest.raises(ValueError, match="several documents in a row, and a cache"):
        HEADS["causal-lm"].build()(**_packed(random_ids(1, sum(LENGTHS))), use_cache=True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_may_stand_in_the_middle(variant):
    mask = torch.ones(2, 30, dtype=torch.int64)
    mask[0, 7:11] = 0
    mask[1, :2] = mask[1, 20:23] = 0

    def difference(model):
        ids, found = random_ids(2, 30), []
        with torch.no_grad():
            every = model(input_ids=ids, attention_mask=mask).logits
            for row, real, logits in zip(ids, mask.bool(), every, strict=True):
                expected = model(input_ids=row[real][None]).logits[0]
                same = logits if logits.shape == expected.shape else logits[real]
                found.append((same - expected).abs().max() / expected.abs().max().clamp_min(1))
        return torch.stack(found).max()

    for head in ("causal-lm", "sequence-classification"):
        assert within(1e-5, HEADS[head], variant, difference), head
