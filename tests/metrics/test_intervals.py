"""Conformal calibration: ranks, shifts that cover what is promised, and quantiles that never cross."""

import numpy as np
import pytest

from reformer.metrics.intervals import IntervalCalibration, forecasts_for

LEVELS = (0.1, 0.5, 0.9)


def test_shifts_are_the_ranks_of_the_errors():
    # Errors 1 to 9 about quantiles at 0: the first and the ninth of nine.
    fitted, reason = IntervalCalibration.fit(np.zeros((9, 1, 3)), np.arange(1.0, 10)[:, None], LEVELS)
    assert reason is None
    assert fitted.shifts == ((1.0, 0.0, 9.0),)
    assert fitted.forecasts == 9
    fitted, _ = IntervalCalibration.fit(np.zeros((19, 1, 3)), np.arange(1.0, 20)[:, None], LEVELS)
    assert fitted.shifts == ((2.0, 0.0, 18.0),)


@pytest.mark.parametrize("spread", [0.2, 1.0, 5.0])
def test_what_was_too_narrow_or_too_wide_covers_what_it_promises(spread):
    pick = np.random.default_rng(0)
    values = pick.normal(size=(4000, 2)) * [1.0, 3.0]
    quantiles = np.broadcast_to(np.array([-1.2816, 0.0, 1.2816]) * spread, (4000, 2, 3))
    fitted, _ = IntervalCalibration.fit(quantiles[:2000], values[:2000], LEVELS)
    shifted = fitted.apply(quantiles[2000:, :, None])[:, :, 0]
    inside = (shifted[..., 0] <= values[2000:]) & (values[2000:] <= shifted[..., 2])
    assert inside.mean(0) == pytest.approx([0.8, 0.8], abs=0.03)
    assert (shifted[..., 1] == 0).all()


def test_too_few_forecasts_tell_nothing():
    values = np.zeros((8, 2))
    fitted, reason = IntervalCalibration.fit(np.zeros((8, 2, 3)), values, LEVELS)
    assert fitted is None
    assert reason == "the validation part has 8 forecasts of a step, and the quantiles 0.1 and 0.9 need 9"
    values = np.zeros((20, 2))
    values[:12, 1] = np.nan
    assert IntervalCalibration.fit(np.zeros((20, 2, 3)), values, LEVELS)[1].startswith("the validation part has 8")
    assert [forecasts_for(level) for level in (0.5, 0.25, 0.9, 0.05, 0.99)] == [1, 3, 9, 19, 99]


def test_quantiles_never_cross_and_the_median_stays():
    fitted = IntervalCalibration((0.1, 0.3, 0.5, 0.7, 0.9), ((9.0, 9.0, 0.0, 2.0, -9.0),), 20)
    found = fitted.apply(np.array([[[[1.0, 2.0, 3.0, 4.0, 5.0]]]]))
    assert found.tolist() == [[[[3.0, 3.0, 3.0, 6.0, 6.0]]]]


def test_it_is_known_by_its_quantiles_and_steps():
    fitted = IntervalCalibration(LEVELS, ((-1.0, 0.0, 1.0),), 20)
    assert fitted.fits([0.1, 0.5, 0.9], 1)
    assert not fitted.fits([0.1, 0.5, 0.9], 2)
    assert not fitted.fits([0.2, 0.5, 0.8], 1)
    assert not IntervalCalibration(LEVELS, ((-1.0, 0.0, float("nan")),), 20).fits(LEVELS, 1)
    assert not IntervalCalibration(LEVELS, ((-1.0, 0.0),), 20).fits(LEVELS, 1)
