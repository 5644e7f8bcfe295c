"""The contract for forecasters: what was never observed, batch-mates and other channels change nothing."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from reformer.models import ReformerConfig, ReformerForForecasting
from tests.contract.models import SMALL, UNDER_EVERY_HEAD, VARIANTS

HORIZON, FEATURES = 7, 3
VARIANTS_OF_VECTORS = {name: options for name, options in VARIANTS.items() if "ngram_sizes" not in options}
HEADS: dict[str, dict[str, Any]] = {
    "series": {},
    "covariates": {
        "num_dynamic_real_features": 2,
        "dynamic_cardinalities": [3, 5],
        "num_static_real_features": 1,
        "static_cardinalities": [4],
    },
}
"""A forecaster of series alone, and one that is told covariates of every kind."""
every_head = pytest.mark.parametrize("head", HEADS)
every_head_and_variant = pytest.mark.parametrize(
    ("head", "variant"),
    [
        pytest.param(head, variant, marks=() if head == "series" or variant in UNDER_EVERY_HEAD else pytest.mark.slow)
        for variant in VARIANTS_OF_VECTORS
        for head in HEADS
    ],
)
"""Covariates are a part of the vectors that the layers read, which know nothing else of them: the quick tests have them
with the variants that read vectors differently, `make test-slow` with every one."""


def _build(variant: str = "mixed", head: str = "series", **options: Any) -> ReformerForForecasting:
    fields = {"patch_size": 3, "quantiles": [0.1, 0.5, 0.9], "linear_context": 10, **HEADS[head], **options}
    fields |= {"vocab_size": 0, "prediction_length": HORIZON, "num_time_features": FEATURES}
    return ReformerForForecasting(ReformerConfig(**{**SMALL, **VARIANTS[variant], **fields})).eval()


def _covariates(batch: int, steps: int, channels: int, dtype: torch.dtype) -> dict[str, Tensor]:
    numbers = torch.randn(batch, steps, channels, 2, dtype=dtype)
    numbers[numbers > 1] = float("nan")
    columns = [torch.randint(0, count, (batch, steps, channels)) for count in (3, 5)]
    return {
        "feat_dynamic_real": numbers,
        "feat_dynamic_cat": torch.stack(columns, -1),
        "feat_static_real": torch.randn(batch, channels, 1, dtype=dtype),
        "feat_static_cat": torch.randint(0, 4, (batch, channels, 1)),
    }


def _inputs(
    batch: int, length: int, channels: int = 2, dtype: torch.dtype = torch.float32, head: str = "series"
) -> dict[str, Tensor]:
    values = 50 + 10 * torch.randn(batch, length, channels, dtype=dtype)
    values[values < 45] = float("nan")
    # Where a series begins, it is observed: what stands before is padding.
    values[:, 0] = 50
    return {
        "values": values,
        "time_features": torch.randn(batch, length + HORIZON, FEATURES, dtype=dtype),
        "labels": 50 + torch.randn(batch, HORIZON, channels, dtype=dtype),
        **(_covariates(batch, length + HORIZON, channels, dtype) if head == "covariates" else {}),
    }


def _forecast(model: ReformerForForecasting, inputs: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return model(**{name: value for name, value in inputs.items() if name != "labels"}).quantiles


def _padded(inputs: dict[str, Tensor], left: int) -> dict[str, Tensor]:
    """The inputs with steps before them at which nothing was observed; their dates and covariates are arbitrary."""
    batch, _, channels = inputs["values"].shape
    before = _inputs(batch, left, channels, inputs["values"].dtype, head="covariates")
    before["values"] = torch.full_like(before["values"], float("nan"))
    steps = {name for name in inputs if not name.startswith("feat_static") and name != "labels"}
    return inputs | {name: torch.cat((before[name][:, :left], inputs[name]), 1) for name in steps}


@every_head_and_variant
def test_padding_changes_nothing(variant, head):
    model, inputs = _build(variant, head), _inputs(2, 40, head=head)
    bare = _forecast(model, inputs)
    for left in (1, 2, 9):
        # Forecasts are about 50 here.
        assert (_forecast(model, _padded(inputs, left)) - bare).abs().max() < 1e-5 * 50, left


@every_head_and_variant
def test_batch_mates_and_other_channels_change_nothing(variant, head):
    model, inputs = _build(variant, head), _inputs(3, 40, channels=3, head=head)
    together = _forecast(model, inputs)
    alone = {name: value[1:2] for name, value in inputs.items()}
    alone = {
        name: value if name == "time_features" else value[:, 2:] if "static" in name else value[:, :, 2:]
        for name, value in alone.items()
    }
    assert (together[1:2, :, 2:] - _forecast(model, alone)).abs().max() < 1e-5 * 50


@every_head_and_variant
def test_the_gradients_of_a_padded_series_are_those_of_the_series(variant, head):
    model = _build(variant, head, initializer_range=0.05).double()
    inputs, found = _inputs(2, 40, dtype=torch.float64, head=head), []
    for given in (inputs, _padded(inputs, 5)):
        model.zero_grad()
        model(**given).loss.backward()
        found.append([parameter.grad.clone() for parameter in model.parameters()])
    assert all((padded - bare).abs().max() < 1e-9 for bare, padded in zip(*found, strict=True))


@pytest.mark.parametrize("name", ["feat_dynamic_real", "feat_dynamic_cat", "feat_static_real", "feat_static_cat"])
def test_every_covariate_matters_at_every_step(name):
    model, inputs = _build(head="covariates"), _inputs(1, 40, channels=1, head="covariates")
    before, places = _forecast(model, inputs), [(0, 0, 0)]
    if "dynamic" in name:
        # One in the past, and the first and the last to predict.
        places = [(0, step, 0, 1) for step in (30, 40, 46)]
    for place in places:
        changed = inputs[name].clone()
        changed[place] = 3.0 if changed.is_floating_point() else (changed[place] + 1) % 4
        assert not torch.equal(_forecast(model, inputs | {name: changed}), before)


def test_a_covariate_that_is_not_known_is_as_good_as_any_other_number_that_is_none():
    model, inputs = _build(head="covariates"), _inputs(1, 40, head="covariates")
    unknown = inputs["feat_dynamic_real"].clone()
    unknown[0, 12, 0] = float("nan")
    infinite = unknown.clone()
    infinite[0, 12, 0] = float("inf")
    found = [_forecast(model, inputs | {"feat_dynamic_real": numbers}) for numbers in (unknown, infinite)]
    assert torch.equal(*found)
    unknown[0, 12, 0] = 0
    assert not torch.equal(found[0], _forecast(model, inputs | {"feat_dynamic_real": unknown}))


def test_what_was_missing_does_not_matter_and_that_it_was_does():
    model, inputs = _build(), _inputs(1, 40)
    values = inputs["values"].clone()
    values[0, 20:24] = float("nan")
    first = _forecast(model, inputs | {"values": values})
    assert not torch.equal(first, _forecast(model, inputs))
    values[0, 20:24] = float("inf")
    assert torch.equal(first, _forecast(model, inputs | {"values": values}))


def test_a_channel_that_was_never_observed_is_harmless():
    model, inputs = _build().train(), _inputs(2, 12)
    inputs["values"][1] = float("nan")
    inputs["labels"][0, 3:] = float("nan")
    found = model(**inputs)
    found.loss.backward()
    assert found.prediction.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@every_head_and_variant
@pytest.mark.parametrize("length", [1, 2, 3, 17, 256])
def test_every_length_trains(variant, length, head):
    _train(_build(variant, head, quantiles=[0.25, 0.5]), length, head)


@every_head
@pytest.mark.parametrize("variant", UNDER_EVERY_HEAD)
@pytest.mark.parametrize("length", [1, 2, 3, 17, 256])
def test_every_length_trains_without_quantiles(variant, length, head):
    _train(_build(variant, head, quantiles=[]), length, head)


def _train(model: ReformerForForecasting, length: int, head: str) -> None:
    loss = model.train()(**_inputs(2, length, head=head)).loss
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@every_head_and_variant
def test_gradients_equal_the_plain_twin_dropout_included(variant, head):
    model = _build(variant, head, hidden_dropout_prob=0.2, initializer_range=0.05).double().train()
    plain = copy.deepcopy(model)
    plain.reformer.encoder.reversible = False
    inputs = _inputs(2, 37, dtype=torch.float64, head=head)
    for twin in (model, plain):
        torch.manual_seed(7)
        twin(**inputs).loss.backward()
    for ours, expected in zip(model.parameters(), plain.parameters(), strict=True):
        assert (ours.grad - expected.grad).abs().max() < 1e-9


def test_scale_and_level_go_through():
    """The same series in other units has the same forecast in those units."""
    model, inputs = _build(), _inputs(2, 40)
    found = _forecast(model, inputs)
    other = _forecast(model, inputs | {"values": 1000 * inputs["values"] - 7e4})
    assert torch.allclose(other, 1000 * found - 7e4, rtol=1e-4, atol=2)


def test_a_series_that_does_not_move_stays_where_it_is():
    model = _build(linear_context=0, initializer_range=0.02)
    values, told = torch.full((1, 30, 1), 0.1), torch.randn(1, 37, FEATURES)
    assert (_forecast(model, {"values": values, "time_features": told}) - 0.1).abs().max() < 1


def test_quantiles_are_in_order_and_the_median_is_the_prediction():
    model, inputs = _build(), _inputs(2, 40)
    found = model(inputs["values"], inputs["time_features"])
    assert (found.quantiles.diff(dim=-1) >= 0).all()
    assert torch.equal(found.prediction, found.quantiles[..., 1])


@every_head_and_variant
def test_loading_gives_the_same_forecasts_bit_for_bit(variant, head, tmp_path):
    model, inputs = _build(variant, head), _inputs(2, 30, head=head)
    model.save_pretrained(tmp_path)
    loaded = ReformerForForecasting.from_pretrained(tmp_path)
    forecasts = [_forecast(each, inputs) for each in (model, loaded)]
    assert torch.equal(*forecasts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": torch.zeros(2, 5)}, r"values have shape \(2, 5\)"),
        ({"values": torch.zeros(2, 5, 1).long()}, r"are torch\.int64, expected numbers"),
        ({"time_features": None}, "num_time_features=3, and time_features are not given"),
        ({"time_features": torch.zeros(2, 40, 3)}, r"time_features have shape \(2, 40, 3\), expected \(2, 47, 3\)"),
        ({"labels": torch.zeros(2, 6, 2)}, r"labels have shape \(2, 6, 2\), expected \(2, 7, 2\)"),
    ],
)
def test_bad_inputs(change, message):
    with pytest.raises(ValueError, match=message):
        _build()(**(_inputs(2, 40) | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feat_dynamic_real": None}, "has learned 2 columns of feat_dynamic_real, and feat_dynamic_real is not given"),
        ({"feat_static_cat": None}, "has learned 1 columns of feat_static_cat, and feat_static_cat is not given"),
        (
            {"feat_dynamic_real": torch.zeros(2, 40, 2, 2)},
            r"feat_dynamic_real has shape \(2, 40, 2, 2\) .* expected numbers \(2, 47, 2, 2\)",
        ),
        ({"feat_static_cat": torch.zeros(2, 2, 1)}, r"feat_static_cat .* torch\.float32, expected whole numbers"),
        ({"feat_static_cat": torch.full((2, 2, 1), 4)}, r"feat_static_cat has categories outside of 0 and \[4\]"),
    ],
)
def test_bad_covariates(change, message):
    with pytest.raises(ValueError, match=message):
        _build(head="covariates")(**(_inputs(2, 40, head="covariates") | change))


def test_covariates_that_were_not_learned_are_refused():
    with pytest.raises(ValueError, match="has learned 0 columns of feat_dynamic_real, and feat_dynamic_real is given"):
        _build()(**_inputs(2, 40, head="covariates"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vocab_size": 9}, "vocab_size=9: a forecaster reads numbers"),
        ({"quantiles": [0.1, 0.9]}, r"quantiles=\[0\.1, 0\.9\]: expected .* 0\.5 among them"),
        ({"quantiles": [0.5, 0.1]}, "in rising order"),
        ({"patch_size": 0}, "patch_size=0: expected at least 1"),
        ({"static_cardinalities": [1]}, r"static_cardinalities=\[1\]: expected at least 2 each, of which 0 means none"),
        ({"num_dynamic_real_features": -1}, "num_dynamic_real_features=-1: expected at least 0"),
        ({"ngram_sizes": [2]}, r"ngram_sizes=\[2\]: groups of tokens need a vocab_size"),
    ],
)
def test_bad_configurations(fields, message):
    with pytest.raises(ValueError, match=message):
        ReformerForForecasting(ReformerConfig(**{**SMALL, "vocab_size": 0, **fields}))


def test_a_model_of_vectors_has_no_ids():
    with pytest.raises(ValueError, match="no embeddings of its own"):
        _build().reformer(input_ids=torch.ones(1, 3, dtype=torch.int64))


def test_hidden_states_are_those_of_the_patches():
    """Of each channel, the past's and the horizon's; 13 steps are five patches of 3, and 7 are three."""
    model, given = _build(), _inputs(2, 13)
    plain, found = model(**given), model(**given, output_hidden_states=True)
    assert plain.hidden_states is None
    assert torch.equal(plain.prediction, found.prediction)
    assert {state.shape for state in found.hidden_states} == {(4, 8, model.config.output_size)}
    assert len(found.hidden_states) == len(model.config.attention_layers) + 1
    gradients = torch.autograd.grad(found.prediction[0, 0, 0], found.hidden_states)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    model.config.output_hidden_states = True
    assert len(model(**given).hidden_states) == len(found.hidden_states)
