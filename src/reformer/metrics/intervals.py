"""Conformal calibration: quantiles shifted so that they cover what they promise on held-out forecasts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

MEDIAN = 0.5


@dataclass(frozen=True)
class IntervalCalibration:
    """Shifts of the quantiles of each step of a forecast (`docs/math.md`, 54), in the units that a model forecasts in.

    Args:
        levels: the quantiles, in rising order.
        shifts: `[horizon][levels]`, 0 for the median.
        forecasts: the number of forecasts of a channel that they were fitted on, at the step with the fewest.
    """

    levels: tuple[float, ...]
    shifts: tuple[tuple[float, ...], ...]
    forecasts: int

    @classmethod
    def fit(
        cls,
        quantiles: Float[np.ndarray, "forecasts horizon levels"],
        values: Float[np.ndarray, "forecasts horizon"],
        levels: Sequence[float],
    ) -> "tuple[IntervalCalibration | None, str | None]":
        """The calibration that held-out forecasts tell, or None and the reason.

        Args:
            quantiles: of each forecast of a channel.
            values: what was observed, NaN where nothing was.
        """
        observed = np.isfinite(values).sum(0)
        least = int(observed.min(initial=len(values)))
        needed = max((forecasts_for(level) for level in levels), default=0)
        if least < needed:
            return None, (
                f"the validation part has {least:,} forecasts of a step, and the quantiles {levels[0]:g} and "
                f"{levels[-1]:g} need {needed:,}"
            )
        shifts = np.zeros((values.shape[1], len(levels)))
        for step, count in enumerate(observed):
            known = np.isfinite(values[:, step])
            errors = np.sort(values[known, step, None] - quantiles[known, step], axis=0)
            for place, level in enumerate(levels):
                if level != MEDIAN:
                    shifts[step, place] = errors[_rank(int(count), level) - 1, place]
        return cls(tuple(levels), tuple(map(tuple, shifts.tolist())), least), None

    def apply(
        self, quantiles: Float[np.ndarray, "*batch horizon channels levels"]
    ) -> Float64[np.ndarray, "*batch horizon channels levels"]:
        """The shifted quantiles, each as far from the median as its neighbour on that side at least."""
        shifted = quantiles + np.array(self.shifts)[:, None, :]
        middle = self.levels.index(MEDIAN)
        above = np.maximum.accumulate(shifted[..., middle:], -1)
        below = np.minimum.accumulate(shifted[..., : middle + 1][..., ::-1], -1)[..., ::-1]
        return np.concatenate((below[..., :-1], above), -1)

    def fits(self, levels: Sequence[float], horizon: int) -> bool:
        """Whether it is one of these quantiles over so many steps, and whole."""
        whole = all(len(row) == len(levels) and all(map(math.isfinite, row)) for row in self.shifts)
        return whole and list(self.levels) == list(levels) and len(self.shifts) == horizon and MEDIAN in levels


def forecasts_for(level: float) -> int:
    """The least number of held-out forecasts that can tell where a quantile is.

    >>> forecasts_for(0.9), forecasts_for(0.01), forecasts_for(0.5)
    (9, 99, 1)
    """
    return max(1, math.ceil(round(1 / min(level, 1 - level), 9)) - 1)


def _rank(count: int, level: float) -> int:
    """The place, from 1 on, of a level's shift among so many errors in rising order: rounded away from the median."""
    exact = round((count + 1) * level, 9)
    return math.ceil(exact) if level > MEDIAN else math.floor(exact)
