"""The report of forecasts: tables, drawings, the worst series first, and names that are text."""

import re

import numpy as np
import pytest

from reformer.metrics.calibration import Calibration
from reformer.metrics.forecast_review import ErrorTable, ForecastReview, NotFitted, ShownForecast
from reformer.metrics.forecasting import ForecastMetric
from reformer.metrics.intervals import IntervalCalibration
from reformer.report.forecasts import MOST_DRAWN, forecast_part
from reformer.report.page import report_page
from tests.report.test_page import HOSTILE, _parsed

LEVELS = [0.1, 0.5, 0.9]
TAGS = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "bdi", "p", "table", "tr", "th", "td"} | {
    *("span", "figure", "figcaption", "div", "svg", "line", "path", "img"),
}


def _review(names, *, size=1.0):
    def table(levels=()):
        return ErrorTable(lambda: ForecastMetric(names, [1.0] * len(names), levels), 2, by_origin=True)

    review = ForecastReview(
        LEVELS,
        table(LEVELS),
        ForecastMetric(names, [1.0] * len(names), LEVELS),
        {"seasonal naive": table()},
        {7: "2024-01-08"},
    )
    values = np.arange(2.0 * len(names)).reshape(1, 2, len(names))
    point = values + np.arange(len(names))
    quantiles = np.stack((point - 1, point, point + 1), -1)
    review.model.update([7], point, values, quantiles)
    review.baselines["seasonal naive"].update([7], values + 3, values)
    for place, name in enumerate(names):
        review.add_shown(
            ShownForecast(
                name,
                float(place),
                ("2024-01-01", "2024-01-08", "2024-01-09"),
                np.array([1.0, np.nan, 3.0]) * size,
                values[0, :, place] * size,
                point[0, :, place] * size,
                quantiles[0, :, place] * size,
                (values[0, :, place] + 3) * size,
            )
        )
    return review


def test_the_worst_series_stands_first_and_each_step_has_a_row():
    part = forecast_part(_review(["good", "bad"]))
    assert [row["name"] for row in part["series"]] == ["bad", "good"]
    assert [drawing["series"] for drawing in part["drawings"]] == ["bad", "good"]
    assert [row["model"]["mase"] for row in part["steps"]] == [0.5, 0.5]
    assert [row["seasonal naive"] for row in part["steps"]] == [3.0, 3.0]
    assert part["series"][0]["others"] == {"seasonal naive": 3.0}
    page = report_page("t", {"test": _review(["good", "bad"])}, Calibration(None, None, {}, None))
    texts = " ".join("".join(_parsed(page).texts).split())
    assert texts.index("bad, from 2024-01-08 on: MASE 1.000") < texts.index("good, from 2024-01-08 on: MASE 0.000")
    assert "seasonal naive" in texts


def test_drawings_hold_every_line_within_their_bounds_and_break_at_gaps():
    [drawing] = forecast_part(_review(["a"]))["drawings"]
    assert drawing["lines"]["past"].count("M") == 2
    for path in (*drawing["lines"].values(), *drawing["bands"]):
        numbers = [float(number) for number in re.findall(r"-?\d+\.\d", path)]
        assert all(0 <= x <= 900 for x in numbers[::2])
        assert all(0 <= y <= 200 for y in numbers[1::2])
    assert len(drawing["bands"]) == 1
    assert (drawing["low"], drawing["high"]) == (-1.0, 4.0)


@pytest.mark.parametrize("size", [0.0, 4e307, 1e-300])
def test_numbers_of_any_size_are_drawn(size):
    for drawing in forecast_part(_review(["a"], size=size))["drawings"]:
        assert "nan" not in str(drawing)
        assert "inf" not in str(drawing)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_text(text):
    review = _review([text, "b"])
    review.not_scored[text] = "nothing"
    review.not_fitted.append(NotFitted("AutoETS", text, text, text))
    page = report_page(text, {text: review}, Calibration(None, text))
    found = _parsed(page)
    assert set(found.tags) <= TAGS
    assert not [value for name, value in found.attributes if name in ("href", "src") or name.startswith("on")]


def test_how_quantiles_were_calibrated_is_said():
    intervals = IntervalCalibration(tuple(LEVELS), ((0.0, 0.0, 0.0),) * 2, 1234)
    page = report_page("t", {"test": _review(["a"])}, Calibration(None, None, {}, intervals)).decode()
    assert "1,234 forecasts" in page
    page = report_page("t", {"test": _review(["a"])}, Calibration(None, "why not")).decode()
    assert "why not" in page


def test_only_so_many_series_are_drawn():
    page = report_page("t", {"test": _review([f"s{number}" for number in range(MOST_DRAWN + 3)])}, Calibration())
    assert page.decode().count("<figure>") == MOST_DRAWN
    assert "Those of 3 series with smaller errors are not drawn" in page.decode()


def test_a_review_without_a_scored_forecast_is_a_page_all_the_same():
    names = ["a"]

    def table(levels=()):
        return ErrorTable(lambda: ForecastMetric(names, [1.0], levels), 2, by_origin=False)

    review = ForecastReview(LEVELS, table(LEVELS), ForecastMetric(names, [1.0], LEVELS), {"naive": table()}, {})
    assert b"<figure>" not in report_page("t", {"test": review}, Calibration())
