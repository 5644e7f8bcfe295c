"""AutoETS and AutoTheta: quantiles by their names, gaps, and pasts that they cannot be fitted to."""

import sys

import numpy as np
import pytest

from reformer.baselines.statistical import MODELS, NotFittedError, StatisticalForecaster
from reformer.errors import ReformerError

LEVELS = [0.1, 0.35, 0.5, 0.9]


def _seasons(count=96):
    return 10 + 3 * np.sin(2 * np.pi * np.arange(count) / 12) + 0.1 * np.random.default_rng(0).normal(size=count)


@pytest.mark.parametrize("name", MODELS)
def test_a_season_is_gone_on_with_between_its_quantiles(name):
    pytest.importorskip("statsforecast")
    past = _seasons(108)
    mean, quantiles = StatisticalForecaster(name, 12, 12, LEVELS).forecast(past[:96])
    assert np.abs(mean - past[96:]).max() < 1
    assert (quantiles[:, 2] == mean).all()
    assert (np.diff(quantiles, axis=1) > 0).all()
    assert StatisticalForecaster(name, 12, 12).forecast(past[:96])[1].shape == (12, 0)


@pytest.mark.parametrize("name", MODELS)
def test_gaps_are_bridged_and_steps_behind_the_last_number_are_forecast_too(name):
    pytest.importorskip("statsforecast")
    past = _seasons(108)
    seen = past[:96].copy()
    seen[:5] = seen[30] = seen[-3:] = np.nan
    mean, _ = StatisticalForecaster(name, 12, 12).forecast(seen)
    assert np.abs(mean - past[96:]).max() < 1


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("past", "reason"), [([1.0, 2.0, 3.0], "tiny datasets"), ([np.nan] * 9, "no number")])
def test_a_past_that_is_too_short_is_told_of(name, past, reason):
    pytest.importorskip("statsforecast")
    with pytest.raises(NotFittedError, match=reason):
        StatisticalForecaster(name, 12, 12, LEVELS).forecast(np.array(past))


def test_without_the_library_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "statsforecast", None)
    with pytest.raises(ReformerError, match=r"AutoETS needs statsforecast, .* pip install 'reformer-torch\[statsfore"):
        StatisticalForecaster("auto-ets", 12, 12)
