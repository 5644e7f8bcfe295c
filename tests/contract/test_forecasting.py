"""The contract for forecasters: what was never observed, batch-mates and other channels change nothing."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from reformer.models import ReformerConfig, ReformerForForecasting
from tests.contract.models import SMALL, VARIANTS

HORIZON, FEATURES = 7, 3
VARIANTS_OF_VECTORS = {name: options for name, options in VARIANTS.items() if "ngram_sizes" not in options}
every_variant = pytest.mark.parametrize("variant", VARIANTS_OF_VECTORS)


def _build(variant: str = "mixed", **options: Any) -> ReformerForForecasting:
    fields = {"patch_size": 3, "quantiles": [0.1, 0.5, 0.9], "linear_context": 10, **options}
    fields |= {"vocab_size": 0, "prediction_length": HORIZON, "num_time_features": FEATURES}
    return ReformerForForecasting(ReformerConfig(**{**SMALL, **VARIANTS[variant], **fields})).eval()


def _inputs(batch: int, length: int, channels: int = 2, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    values = 50 + 10 * torch.randn(batch, length, channels, dtype=dtype)
    values[values < 45] = float("nan")
    # Where a series begins, it is observed: what stands before is padding.
    values[:, 0] = 50
    return {
        "values": values,
        "time_features": torch.randn(batch, length + HORIZON, FEATURES, dtype=dtype),
        "labels": 50 + torch.randn(batch, HORIZON, channels, dtype=dtype),
    }


def _forecast(model: ReformerForForecasting, values: Tensor, time_features: Tensor) -> Tensor:
    with torch.no_grad():
        return model(values, time_features).quantiles


def _padded(inputs: dict[str, Tensor], left: int) -> tuple[Tensor, Tensor]:
    values, told = inputs["values"], inputs["time_features"]
    nothing = torch.full((len(values), left, values.shape[2]), float("nan"))
    # The dates at the padding are arbitrary.
    return torch.cat((nothing, values), 1), torch.cat((torch.randn(len(values), left, FEATURES), told), 1)


@every_variant
@pytest.mark.parametrize("left", [1, 2, 9])
def test_padding_changes_nothing(variant, left):
    model, inputs = _build(variant), _inputs(2, 40)
    bare = _forecast(model, inputs["values"], inputs["time_features"])
    # Forecasts are about 50 here.
    assert (_forecast(model, *_padded(inputs, left)) - bare).abs().max() < 1e-5 * 50


@every_variant
def test_batch_mates_and_other_channels_change_nothing(variant):
    model, inputs = _build(variant), _inputs(3, 40, channels=3)
    values, told = inputs["values"], inputs["time_features"]
    together = _forecast(model, values, told)
    alone = _forecast(model, values[1:2, :, 2:], told[1:2])
    assert (together[1:2, :, 2:] - alone).abs().max() < 1e-5 * 50


def test_what_was_missing_does_not_matter_and_that_it_was_does():
    model, inputs = _build(), _inputs(1, 40)
    values = inputs["values"].clone()
    values[0, 20:24] = float("nan")
    first = _forecast(model, values, inputs["time_features"])
    assert not torch.equal(first, _forecast(model, inputs["values"], inputs["time_features"]))
    values[0, 20:24] = float("inf")
    assert torch.equal(first, _forecast(model, values, inputs["time_features"]))


def test_a_channel_that_was_never_observed_is_harmless():
    model, inputs = _build().train(), _inputs(2, 12)
    inputs["values"][1] = float("nan")
    inputs["labels"][0, 3:] = float("nan")
    found = model(**inputs)
    found.loss.backward()
    assert found.prediction.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@every_variant
@pytest.mark.parametrize("length", [1, 2, 3, 17, 256])
@pytest.mark.parametrize("quantiles", [[], [0.25, 0.5]])
def test_every_length_trains(variant, length, quantiles):
    model = _build(variant, quantiles=quantiles).train()
    loss = model(**_inputs(2, length)).loss
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@every_variant
def test_gradients_equal_the_plain_twin_dropout_included(variant):
    model = _build(variant, hidden_dropout_prob=0.2, initializer_range=0.05).double().train()
    plain = copy.deepcopy(model)
    plain.reformer.encoder.reversible = False
    inputs = _inputs(2, 37, dtype=torch.float64)
    for twin in (model, plain):
        torch.manual_seed(7)
        twin(**inputs).loss.backward()
    for ours, expected in zip(model.parameters(), plain.parameters(), strict=True):
        assert (ours.grad - expected.grad).abs().max() < 1e-9


def test_scale_and_level_go_through():
    """The same series in other units has the same forecast in those units."""
    model, inputs = _build(), _inputs(2, 40)
    found = _forecast(model, inputs["values"], inputs["time_features"])
    other = _forecast(model, 1000 * inputs["values"] - 7e4, inputs["time_features"])
    assert torch.allclose(other, 1000 * found - 7e4, rtol=1e-4, atol=2)


def test_a_series_that_does_not_move_stays_where_it_is():
    model = _build(linear_context=0, initializer_range=0.02)
    values, told = torch.full((1, 30, 1), 0.1), torch.randn(1, 37, FEATURES)
    assert (_forecast(model, values, told) - 0.1).abs().max() < 1


def test_quantiles_are_in_order_and_the_median_is_the_prediction():
    model, inputs = _build(), _inputs(2, 40)
    found = model(inputs["values"], inputs["time_features"])
    assert (found.quantiles.diff(dim=-1) >= 0).all()
    assert torch.equal(found.prediction, found.quantiles[..., 1])


@every_variant
def test_loading_gives_the_same_forecasts_bit_for_bit(variant, tmp_path):
    model, inputs = _build(variant), _inputs(2, 30)
    model.save_pretrained(tmp_path)
    loaded = ReformerForForecasting.from_pretrained(tmp_path)
    forecasts = [_forecast(each, inputs["values"], inputs["time_features"]) for each in (model, loaded)]
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
    ("fields", "message"),
    [
        ({"vocab_size": 9}, "vocab_size=9: a forecaster reads numbers"),
        ({"quantiles": [0.1, 0.9]}, r"quantiles=\[0\.1, 0\.9\]: expected .* 0\.5 among them"),
        ({"quantiles": [0.5, 0.1]}, "in rising order"),
        ({"patch_size": 0}, "patch_size=0: expected at least 1"),
        ({"ngram_sizes": [2]}, r"ngram_sizes=\[2\]: groups of tokens need a vocab_size"),
    ],
)
def test_bad_configurations(fields, message):
    with pytest.raises(ValueError, match=message):
        ReformerForForecasting(ReformerConfig(**{**SMALL, "vocab_size": 0, **fields}))


def test_a_model_of_vectors_has_no_ids():
    with pytest.raises(ValueError, match="no embeddings of its own"):
        _build().reformer(input_ids=torch.ones(1, 3, dtype=torch.int64))
