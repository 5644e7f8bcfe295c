"""Group lasso: one factor for a whole head or layer, zeros that stay, and what pruning then finds."""

import pytest
import torch

from reformer.finetuning import FinetuningError, GroupLasso, freeze, layers, prune_heads, prune_layers
from tests.contract.models import HEADS, every_variant, outputs, random_ids

HEAD = HEADS["token-classification"]


def test_a_head_is_shrunk_as_the_equation_says():
    model = HEAD.build("local")
    weight = layers(model)[1][0].function.output.weight
    before, rate, strength = weight.detach().clone(), 0.01, 3.0
    GroupLasso(model, heads=strength).shrink(rate)
    for head in range(2):
        columns = slice(16 * head, 16 * (head + 1))
        group = before[:, columns]
        factor = 1 - rate * strength * group.numel() ** 0.5 / group.norm()
        assert torch.allclose(weight[:, columns], group * factor)


def test_a_layer_is_shrunk_as_one_group_biases_included():
    model = HEAD.build("mixed", bottleneck_size=8)
    parts = [layers(model)[0][0].function.pointwise, *(layers(model)[0][at].after.widen for at in (1, 2))]
    weights = [parameter for part in parts for parameter in part.parameters()]
    before = torch.cat([weight.detach().flatten() for weight in weights])
    GroupLasso(model, layers=2.0).shrink(0.01)
    after = torch.cat([weight.detach().flatten() for weight in weights])
    assert torch.allclose(after, before * (1 - 0.02 * before.numel() ** 0.5 / before.norm()))


@every_variant
def test_all_is_zero_in_the_end_and_stays_there(variant):
    model, ids = HEAD.build(variant), random_ids(2, 19)
    if variant == "shared":
        with pytest.raises(FinetuningError, match=r"num_distinct_layers=2: .* shrink before sharing"):
            GroupLasso(model, heads=1.0)
        return
    lasso = GroupLasso(model, heads=1.0, layers=1.0)
    assert lasso.zeros() == {"heads": [], "layers": []}
    for _ in range(2):
        lasso.shrink(1e3)
        assert lasso.zeros()["layers"] == list(range(model.config.num_hidden_layers))
    assert outputs(model, ids).isfinite().all()


def test_pruning_finds_zeros_to_be_worth_nothing():
    model, ids = HEAD.build("full", num_attention_heads=4, attention_head_size=8), random_ids(2, 23)
    with torch.no_grad():
        layers(model)[1][0].function.output.weight[:, 8:16] *= 1e-3
        for sublayer, name in zip(layers(model)[2], ("output", "outer"), strict=True):
            for weight in getattr(sublayer.function, name).parameters():
                weight *= 1e-3
    lasso = GroupLasso(model, heads=1.0, layers=0.1)
    lasso.shrink(1e-2)
    assert lasso.zeros()["heads"] == [[1, 1], *([2, head] for head in range(4))]
    assert lasso.zeros()["layers"] == [2]
    expected = outputs(model, ids)

    def measure(other):
        return -float((outputs(other, ids) - expected).abs().max())

    fewer = prune_heads(model, measure, tolerance=1e-5)
    assert fewer.worth[1][1] == pytest.approx(0, abs=1e-5)
    assert 1 not in fewer.kept[1]
    shorter = prune_layers(model, measure, tolerance=1e-5)
    assert shorter.kept == (0, 1)
    assert shorter.worth[2] == pytest.approx(0, abs=1e-5)


def test_what_is_frozen_is_left_alone():
    model = HEAD.build("local")
    freeze(model, ["0"])
    before = layers(model)[0][0].function.output.weight.clone()
    lasso = GroupLasso(model, heads=1.0, layers=1.0)
    lasso.shrink(1e3)
    assert torch.equal(layers(model)[0][0].function.output.weight, before)
    assert lasso.zeros()["layers"] == [1, 2]
