"""Covariates as a forecaster reads them: numbers in units of their deviation, categories by their numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from reformer.data import DataError, Series
from reformer.wording import counted


@dataclass(frozen=True)
class CovariateEncoder:
    """The covariates that a run has learned, and the scale of each column of numbers.

    Args:
        categories: of each column of categories, those that occurred in the training file.
        scales: of each column of numbers, its mean and its standard deviation over the training part.
    """

    known_columns: tuple[str, ...] = ()
    static_columns: tuple[str, ...] = ()
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)
    scales: dict[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def fit(cls, series: Series, known: int) -> "CovariateEncoder | None":
        """The encoder of a series whose training part are the first `known` steps; None where it has no covariates.

        Raises:
            DataError: a covariate has no number there, or is the same everywhere, so that nothing can be learned of it.
        """
        told = series.covariates
        if told is None:
            return None
        columns = [(name, told.known[:known, :, place]) for place, name in enumerate(told.known_columns)]
        columns += [(name, told.static[:, place]) for place, name in enumerate(told.static_columns)]
        scales = {}
        for name, values in columns:
            _refuse_constant(series.name, name, values, is_static=name in told.static_columns)
            if name not in told.categories:
                scales[name] = _scale(series.name, name, values[np.isfinite(values)])
        return cls(told.known_columns, told.static_columns, dict(told.categories), scales)

    @property
    def is_whole(self) -> bool:
        """Whether every column is either of categories or has a scale that can be divided by."""
        names = [*self.known_columns, *self.static_columns]
        usable = all(np.isfinite(scale).all() and scale[1] > 0 for scale in self.scales.values())
        return usable and sorted([*self.categories, *self.scales]) == sorted(names) and len(set(names)) == len(names)

    def config_fields(self) -> dict[str, Any]:
        """The fields of a model's configuration that say what it is told."""
        return {
            "num_dynamic_real_features": len(self._numbers(self.known_columns)),
            "dynamic_cardinalities": self._cardinalities(self.known_columns),
            "num_static_real_features": len(self._numbers(self.static_columns)),
            "static_cardinalities": self._cardinalities(self.static_columns),
        }

    def encode(
        self, known: Float64[Tensor, "batch steps channels known"], static: Float64[Tensor, "batch channels static"]
    ) -> dict[str, Tensor]:
        """The model's inputs for a batch of windows."""
        found = {}
        for kind, columns, values in (("dynamic", self.known_columns, known), ("static", self.static_columns, static)):
            numbers, names = self._numbers(columns), [name for name in columns if name in self.categories]
            if numbers:
                parts = [(values[..., columns.index(name)] - mean) / deviation for name, (mean, deviation) in numbers]
                found[f"feat_{kind}_real"] = torch.stack(parts, -1).float()
            if names:
                parts = [values[..., columns.index(name)].nan_to_num(0).long() for name in names]
                found[f"feat_{kind}_cat"] = torch.stack(parts, -1)
        return found

    def check(self, series: Series, file: str, horizon: int) -> None:
        """Raise `DataError` that names the first known column without a value at one of the next steps, and the first
        static one of numbers without a value."""
        told = series.covariates
        if told is None:
            raise DataError(
                file,
                None,
                f"the model has learned from the covariates {', '.join((*self.known_columns, *self.static_columns))}, "
                "and there are none here",
                "give a table that has them",
            )
        whose = "" if series.member is None else f" of the series {series.member!r}"
        for place, name in enumerate(self.static_columns):
            if np.isnan(told.static[:, place]).any():
                problem = f"the static column {name!r}{whose} has no value"
                raise DataError(file, None, problem, "give it in a row of the series")
        if not self.known_columns:
            return
        end = len(series.dates)
        ahead = told.known[end : end + horizon]
        ahead = np.pad(ahead, ((0, horizon - len(ahead)), (0, 0), (0, 0)), constant_values=np.nan)
        missing = np.isnan(ahead).any((1, 2))
        if missing.any():
            dates = series.dates_after(horizon)
            names = [name for place, name in enumerate(self.known_columns) if np.isnan(ahead[..., place]).any()]
            columns = f"column {names[0]!r}" if len(names) == 1 else f"columns {', '.join(map(repr, names))}"
            raise DataError(
                file,
                None,
                f"the known {columns}{whose} {'has' if len(names) == 1 else 'have'} no value at "
                f"{series.written(dates[missing.argmax()])}, and a forecast of {counted(horizon, 'step')} needs "
                "them from "
                f"{series.written(dates[0])} to {series.written(dates[-1])}",
                "give rows with these dates, in which the columns to predict are empty, or a table of them by "
                "--future-covariates",
            )

    def _numbers(self, columns: tuple[str, ...]) -> list[tuple[str, tuple[float, float]]]:
        return [(name, self.scales[name]) for name in columns if name in self.scales]

    def _cardinalities(self, columns: tuple[str, ...]) -> list[int]:
        return [len(self.categories[name]) + 1 for name in columns if name in self.categories]


def with_future(series: Series, future: Mapping[str | None, Series], file: str) -> Series:
    """The series with the covariates that another table tells of the steps after its end; those of the table count.

    Args:
        future: of the other table, by the names of its series.

    Raises:
        DataError: the table has not this series, or one of its later dates is no step of it.
    """
    own, other = series.covariates, future.get(series.member)
    assert own is not None
    if other is None or other.covariates is None:
        names = ", ".join(repr(name) for name in future)
        raise DataError(file, None, f"there are no rows of the series {series.member!r}; it has {names}", "add them")
    later = np.flatnonzero(other.dates > series.dates[-1])
    # An earlier date than the series' own next step is none of its steps.
    places = series.cadence.positions(np.concatenate((series.dates[-1:], other.dates[later])))[1:]
    if (places < 0).any():
        date = other.written(other.dates[int(later[(places < 0).argmax()])])
        told = f"{date} is no whole number of steps of {series.cadence} after {series.written(series.dates[-1])}"
        raise DataError(file, None, told, "give rows on the steps of the series")
    end, channels = len(series.dates), len(series.columns)
    steps = max(len(own.known), end + int(places.max(initial=0)))
    known = np.pad(own.known, ((0, steps - len(own.known)), (0, 0), (0, 0)), constant_values=np.nan)
    known[end - 1 + places] = np.repeat(other.covariates.known[later], channels, 1)
    return replace(series, covariates=replace(own, known=known))


def _refuse_constant(file: str, name: str, values: Float64[np.ndarray, "*places"], *, is_static: bool) -> None:
    found = np.unique(values[np.isfinite(values)])
    where = "for every series" if is_static else "in all of the training part"
    if not len(found):
        problem = f"the covariate {name!r} has no value {where}"
    elif len(found) == 1:
        problem = f"the covariate {name!r} is the same {where}, so that nothing can be learned from it"
    else:
        return
    raise DataError(file, None, problem, f"leave it out of data.{'static' if is_static else 'known'}_columns")


def _scale(file: str, name: str, values: Float64[np.ndarray, " values"]) -> tuple[float, float]:
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(values.mean()), float(values.std())
    if not (np.isfinite(mean) and 0 < deviation < np.inf):
        problem = f"the numbers of the covariate {name!r} are so large or so small that their deviation is no number"
        raise DataError(file, None, problem, "divide them by a power of ten")
    return mean, deviation
