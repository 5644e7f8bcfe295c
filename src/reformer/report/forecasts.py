"""Forecasts of a report: tables of errors, and a drawing of the worst forecast of each series."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reformer.metrics.forecast_review import ForecastReview, ShownForecast

MOST_DRAWN = 24
"""Series whose worst forecast is drawn: those with the greatest errors."""
MOST_SERIES = 500
"""Series of a table."""
WIDTH, HEIGHT, MARGIN = 900, 200, 8


def forecast_part(review: ForecastReview) -> dict[str, Any]:
    """What the template needs of one part of the data."""
    others = {name: table.total.by_channel() for name, table in review.baselines.items()}
    series = review.model.total.by_channel()
    worst = sorted(series, key=lambda name: -series[name]["mase"])
    drawn = sorted(review.shown.values(), key=lambda shown: -shown.mase)[:MOST_DRAWN]
    return {
        "metrics": review.metrics,
        "baselines": review.baseline_metrics(),
        "steps": [
            {"model": metric.result()}
            | {name: table.steps[step].result()["mase"] for name, table in review.baselines.items()}
            for step, metric in enumerate(review.model.steps)
        ],
        "series": [
            {
                "name": name,
                "model": series[name],
                "others": {other: of_series.get(name, {}).get("mase") for other, of_series in others.items()},
            }
            for name in worst[:MOST_SERIES]
        ],
        "series_metrics": list(series[worst[0]]) if worst else [],
        "left_out": max(0, len(worst) - MOST_SERIES),
        "not_drawn": max(0, len(review.shown) - MOST_DRAWN),
        "drawings": [_drawing(shown, review.levels) for shown in drawn],
        "origins": review.origin_rows(),
        "notes": review.notes(),
    }


def _drawing(shown: ShownForecast, levels: Sequence[float]) -> dict[str, Any]:
    """The lines and bands of a drawing of `WIDTH` by `HEIGHT`, as paths of SVG."""
    past, horizon = len(shown.past), len(shown.point)
    lines = {
        "past": (0, shown.past),
        "observed": (past, shown.observed),
        "baseline": (past, shown.baseline),
        "point": (past, shown.point),
    }
    parts = [values for _, values in lines.values()]
    if shown.quantiles is not None:
        parts.append(shown.quantiles.ravel())
    finite = np.concatenate(parts)
    finite = finite[np.isfinite(finite)]
    low, high = float(finite.min()), float(finite.max())
    # Halves, as the difference of two large numbers may be too large for a float.
    half = (high / 2 - low / 2) or 1.0

    def across(step: Float[ndarray, " steps"]) -> Float[ndarray, " steps"]:
        return MARGIN + (WIDTH - 2 * MARGIN) * step / max(past + horizon - 1, 1)

    def down(values: Float[ndarray, " steps"]) -> Float[ndarray, " steps"]:
        return MARGIN + (HEIGHT - 2 * MARGIN) * (1 - (values / 2 - low / 2) / half)

    bands = []
    for number in range(len(levels) // 2 if shown.quantiles is not None else 0):
        assert shown.quantiles is not None
        ends = shown.quantiles[:, number], shown.quantiles[:, len(levels) - 1 - number]
        if all(np.isfinite(end).all() for end in ends):
            steps = across(np.arange(past, past + horizon, dtype=np.float64))
            xs = np.concatenate((steps, steps[::-1]))
            bands.append(_path(xs, down(np.concatenate((ends[0], ends[1][::-1])))) + "Z")
    return {
        "series": shown.series,
        "mase": shown.mase,
        "dates": shown.dates,
        "low": low,
        "high": high,
        "split": float(across(np.array([max(past - 0.5, 0.0)]))[0]),
        "bands": bands,
        "lines": {
            name: _path(across(np.arange(begin, begin + len(values), dtype=np.float64)), down(values))
            for name, (begin, values) in lines.items()
        },
    }


def _path(xs: Float[ndarray, " steps"], ys: Float[ndarray, " steps"]) -> str:
    """A line through the points, broken where one is missing."""
    parts, is_drawing = [], False
    for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
        if not np.isfinite(y):
            is_drawing = False
            continue
        parts.append(f"{'L' if is_drawing else 'M'}{x:.1f} {y:.1f}")
        is_drawing = True
    return "".join(parts)
