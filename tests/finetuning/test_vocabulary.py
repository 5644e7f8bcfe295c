"""A model without some tokens gives for the others what it gave."""

import pytest
import torch

from reformer.finetuning import FinetuningError
from reformer.finetuning.vocabulary import keep_tokens
from tests.contract.models import HEADS, outputs, random_ids

KEPT = [0, 3, 4, 9, 17, 30, 40]


@pytest.mark.parametrize("head", ["token-classification", "masked-lm", "causal-lm"])
@pytest.mark.parametrize("options", [{}, {"tie_word_embeddings": True}, {"embedding_size": 20}])
def test_the_others_answers_are_the_same(head, options, tmp_path):
    model, new = HEADS[head].build("local", **options), torch.randint(len(KEPT), (2, 15))
    expected = outputs(model, torch.tensor(KEPT)[new])
    keep_tokens(model, KEPT)
    found = outputs(model, new)
    if "lm" in head:
        expected = expected[..., KEPT]
    assert (found - expected).abs().max() < 1e-5
    assert model.config.vocab_size == len(KEPT)
    model.save_pretrained(tmp_path)
    assert torch.equal(outputs(HEADS[head].model.from_pretrained(tmp_path), new), found)


def test_numbers_of_special_tokens_move_and_groups_of_tokens_are_refused():
    model = HEADS["causal-lm"].build("local", pad_token_id=3, eos_token_id=40, bos_token_id=5)
    keep_tokens(model, KEPT)
    assert (model.config.pad_token_id, model.config.eos_token_id, model.config.bos_token_id) == (1, 6, None)
    with pytest.raises(ValueError, match="outside the vocabulary of 7"):
        model(random_ids(1, 50))
    with pytest.raises(FinetuningError, match=r"ngram_sizes=\[2, 3\]"):
        keep_tokens(HEADS["causal-lm"].build("ngrams"), KEPT)
    with pytest.raises(FinetuningError, match=r"wide_sizes=\[1, 2\]"):
        keep_tokens(HEADS["random-field"].build("local", wide_sizes=[1, 2]), KEPT)
