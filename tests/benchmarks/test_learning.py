"""What is learned is asked for as the task says, and the same weights serve every attention."""

import pytest
import torch

from benchmarks.contenders import duplication
from benchmarks.learning import Plan, accuracy


def test_the_rate_rises_stays_and_falls():
    plan = Plan(steps=300, warm_up=10)
    rates = [plan.rate(step) for step in range(300)]
    assert rates[0] == pytest.approx(0.1)
    assert set(rates[9:200]) == {1.0}
    assert rates[200:] == sorted(rates[200:], reverse=True)
    assert 0.1 <= rates[-1] < 0.11


def test_accuracy_counts_what_is_asked_for_alone():
    class Echo(torch.nn.Module):
        """Says that the next token is this one."""

        def forward(self, input_ids):
            from types import SimpleNamespace

            return SimpleNamespace(logits=torch.nn.functional.one_hot(input_ids, 5).float())

    ids = torch.tensor([[1, 1, 2, 2], [3, 4, 4, 4]])
    labels = torch.tensor([[-100, 1, 2, -100], [-100, 4, 4, -100]])
    assert accuracy(Echo(), (ids, labels), at_once=4) == 0.5


def test_the_second_half_is_the_first_and_alone_is_asked_for():
    ids, labels = duplication.duplicated(32, 3)
    assert torch.equal(ids[:, :16], ids[:, 16:])
    assert (ids[:, 0] == 0).all()
    assert (labels[:, :17] == -100).all()
    assert torch.equal(labels[:, 17:], ids[:, 17:])


def test_full_attention_with_these_weights_sees_every_earlier_token():
    torch.manual_seed(0)
    length = 64
    weights = duplication.model("LSH-2", length).state_dict()
    full = duplication.with_attention(weights, "full", length).eval()
    ids = torch.randint(1, 100, (1, length))
    edited = ids.clone()
    edited[0, 0] = 100 + 1
    with torch.no_grad():
        changed = (full(input_ids=ids).logits - full(input_ids=edited).logits).abs().amax(-1)[0]
    assert (changed > 0).all()


def test_weights_of_another_shape_of_model_are_refused():
    weights = duplication.model("LSH-2", 32).state_dict()
    del weights["lm_head.weight"]
    with pytest.raises(duplication.ContractError, match=r"lm_head\.weight"):
        duplication.with_attention(weights, "LSH-1", 32)
