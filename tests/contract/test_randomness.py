"""Evaluation is deterministic and leaves the random state alone; a forward pass changes nothing in the model."""

import copy

import torch

from tests.contract.models import every_head_and_variant, outputs, random_ids


@every_head_and_variant
def test_evaluation_is_deterministic_and_a_forward_pass_changes_nothing(head, variant):
    model, ids = head.build(variant, hidden_dropout_prob=0.1), random_ids(2, 30)
    state, config = copy.deepcopy(model.state_dict()), model.config.to_dict()
    first = outputs(model, ids)
    model.train()
    model(input_ids=random_ids(3, 99), **head.labels(random_ids(3, 99)))
    model.eval()
    outputs(model, random_ids(1, 5))
    assert model.config.to_dict() == config
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    torch.manual_seed(12345)
    before = torch.get_rng_state()
    assert torch.equal(outputs(model, ids), first)
    assert torch.equal(torch.get_rng_state(), before)


@every_head_and_variant
def test_training_never_sets_the_random_state(head, variant):
    model, ids = head.build(variant, hidden_dropout_prob=0.1).train(), random_ids(2, 30)
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model(input_ids=ids, **head.labels(ids)).loss.backward()
        states.append(torch.get_rng_state())
    # Had anything in a pass set the state, both would end in the same one.
    assert not torch.equal(*states)


def test_rotations_are_drawn_anew_in_training_and_kept_in_evaluation():
    from tests.contract.models import HEADS

    model, ids = HEADS["masked-lm"].build("lsh"), random_ids(1, 60)
    model.train()
    with torch.no_grad():
        first, second = (model(input_ids=ids).logits for _ in range(2))
    assert not torch.equal(first, second)
