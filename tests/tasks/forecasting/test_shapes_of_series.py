"""Series as their owners have them: each form of dates and numbers is trained, forecast further and evaluated alike."""

import json
import math
import random
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from reformer.cli import app
from reformer.runs.recipe_file import write_recipe
from reformer.tasks.recipe_checks import checked_recipe
from tests.tiny import series_recipe

RUNNER = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})
DAYS = [date(2023, 1, 1) + timedelta(days=day) for day in range(240)]
HOURS = [datetime(2024, 1, 1) + timedelta(hours=hour) for hour in range(240)]
BERLIN = ZoneInfo("Europe/Berlin")


def _month_end(number):
    return date(1990 + (number + 1) // 12, (number + 1) % 12 + 1, 1) - timedelta(days=1)


def _business_days():
    return [day for day in (date(2023, 1, 2) + timedelta(days=day) for day in range(336)) if day.weekday() < 5]


SHAPES = {
    # The dates of the rows, and the first and the last of five steps after them.
    "month ends": ([str(_month_end(number)) for number in range(240)], "2010-01-31", "2010-05-31"),
    "quarter ends": ([str(_month_end(3 * number + 2)) for number in range(240)], "2050-03-31", "2051-03-31"),
    "midnights with offsets over a change of the clocks": (
        [datetime(day.year, day.month, day.day, tzinfo=BERLIN).isoformat() for day in DAYS],
        "2023-08-29T00:00:00+02:00",
        "2023-09-02T00:00:00+02:00",
    ),
    "business days": ([str(day) for day in _business_days()], "2023-12-04", "2023-12-08"),
    "months": ([f"{1980 + number // 12}-{number % 12 + 1:02d}" for number in range(240)], "2000-01", "2000-05"),
    "years": ([str(1900 + number) for number in range(120)], "2020", "2024"),
    "day first": ([f"{day.day}/{day.month}/{day.year}" for day in DAYS], "29/8/2023", "2/9/2023"),
    "dots": ([f"{day:%d.%m.%Y}" for day in DAYS], "29.08.2023", "02.09.2023"),
    "digits alone": ([f"{day:%Y%m%d}" for day in DAYS], "20230829", "20230902"),
    "AM and PM": ([f"{hour:%m/%d/%Y %I:%M %p}" for hour in HOURS], "01/11/2024 12:00 AM", "01/11/2024 04:00 AM"),
    "epoch seconds": ([str(1704067200 + 3600 * hour) for hour in range(240)], "1704931200", "1704945600"),
    "Excel's serial numbers": ([str(45292 + day) for day in range(240)], "45532", "45536"),
}


def _run(folder, text, **data):
    (folder / "load.csv").write_text(text, encoding="utf-8")
    tables = series_recipe(folder, max_steps=1, num_evaluations=1, num_threads=1, precision="float32", baseline="none")
    lengths = {"context_length": 40, "prediction_length": 5, "season_length": 6, "validation_fraction": 0.2}
    tables["data"] |= {"train": str(folder / "load.csv"), **lengths, **data}
    tables["model"] |= {"attention_layers": ["local"], "patch_size": 5, "linear_context": 20, "num_distinct_layers": 1}
    write_recipe(checked_recipe(tables), folder / "recipe.toml")
    return RUNNER.invoke(app, ["train", str(folder / "recipe.toml"), "-o", str(folder / "run")])


def _values(count):
    pick = random.Random(0)
    return [10 + 3 * math.sin(2 * math.pi * number / 6) + 0.1 * pick.gauss(0, 1) for number in range(count)]


def _forecast(folder, name="load"):
    result = RUNNER.invoke(app, ["predict", str(folder / "run"), str(folder / "load.csv")])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    return [row["date"] for row in rows], [row[name] for row in rows]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_trained_forecast_and_evaluated(tmp_path, shape):
    dates, first, last = SHAPES[shape]
    expected = _values(len(dates) + 5)[-5:]
    rows = [f"{date},{value:.4f}" for date, value in zip(dates, _values(len(dates)), strict=True)]
    trained = _run(tmp_path, "when,load\n" + "\n".join(rows) + "\n")
    assert trained.exit_code == 0, trained.output
    found, numbers = _forecast(tmp_path)
    assert (found[0], found[-1]) == (first, last)
    assert numbers == pytest.approx(expected, abs=1)
    evaluated = RUNNER.invoke(
        app,
        ["evaluate", str(tmp_path / "run"), str(tmp_path / "load.csv"), "--origins", "2", "-o", str(tmp_path / "m")],
    )
    assert evaluated.exit_code == 0, evaluated.output
    metrics = json.loads((tmp_path / "m").read_text())
    assert metrics["origins"][-1]["origin"] == dates[-5]
    assert metrics["mae"] < 0.5


def test_semicolons_and_decimal_commas_are_read(tmp_path):
    rows = [
        f"{day:%d.%m.%Y};{1000 + value:.3f}".replace(".2023;1", ".2023;1.")
        for day, value in zip(DAYS, _values(240), strict=True)
    ]
    rows = [f"{row[:-4]},{row[-3:]}" for row in rows]
    assert rows[0].startswith("01.01.2023;1.0")
    assert "," in rows[0]
    trained = _run(tmp_path, "when;load\n" + "\n".join(rows) + "\n")
    assert trained.exit_code == 0, trained.output
    assert "read with decimal commas" in " ".join((trained.output + trained.stderr).split())
    assert _forecast(tmp_path)[1] == pytest.approx([1000 + value for value in _values(245)[-5:]], abs=1)


def test_a_column_that_is_missing_in_the_training_part_is_named_with_its_first_date(tmp_path):
    rows = [
        f"{day},{value:.4f},{value if number > 220 else ''}"
        for number, (day, value) in enumerate(zip(DAYS, _values(240), strict=True))
    ]
    refused = _run(tmp_path, "when,load,new\n" + "\n".join(rows) + "\n")
    assert refused.exit_code == 1
    assert "the column 'new' has no number in the training part" in refused.stderr
    assert "its first is at 2023-08-10" in refused.stderr


def test_an_unnamed_counter_is_no_series(tmp_path):
    rows = [f"{number},{day},{value:.4f}" for number, (day, value) in enumerate(zip(DAYS, _values(240), strict=True))]
    trained = _run(tmp_path, ",when,load\n" + "\n".join(rows) + "\n")
    assert trained.exit_code == 0, trained.output
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert not [name for name in metrics["test"] if name.endswith("_mase")]


@pytest.mark.parametrize("dst", ["first", "shift"])
def test_an_hour_that_is_there_twice_is_read_by_choice(tmp_path, dst):
    utc = [datetime(2024, 10, 20, 22, tzinfo=ZoneInfo("UTC")) + timedelta(hours=hour) for hour in range(241)]
    dates = [hour.astimezone(BERLIN).strftime("%Y-%m-%d %H:%M") for hour in utc]
    assert len(set(dates)) == 240
    rows = [f"{date},{value:.4f}" for date, value in zip(dates, _values(241), strict=True)]
    text = "when,load\n" + "\n".join(rows) + "\n"
    refused = _run(tmp_path, text)
    assert refused.exit_code == 1
    assert "2024-10-27 02:00" in refused.stderr.replace("T", " ")
    assert "data.dst" in refused.stderr
    trained = _run(tmp_path, text, dst=dst)
    assert trained.exit_code == 0, trained.output
    assert dates[-1] == "2024-10-30 23:00"
    assert _forecast(tmp_path)[0][0] == "2024-10-31 00:00"
