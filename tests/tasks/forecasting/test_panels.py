"""Several series in one file, calendars and channels of which nothing is known: in training and prediction alike."""

import csv
import json
from datetime import date, timedelta

import numpy as np
import pytest
from typer.testing import CliRunner

from reformer.cli import app
from reformer.data import DataError
from reformer.data.batching.series_windows import SeriesWindows
from reformer.data.series import Series
from reformer.runs.recipe_file import write_recipe
from reformer.tasks.forecasting.splits import describe_series, load_series_splits
from reformer.tasks.recipe_checks import checked_recipe
from tests.tiny import series_recipe

RUNNER = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})


def _business_days(count):
    days = (date(2023, 1, 2) + timedelta(days=day) for day in range(2 * count))
    return [day for day in days if day.weekday() < 5][:count]


def _panel(path, ends):
    """Series by name, which end after so many business days."""
    rows = [
        f"{name},{day:%d.%m.%Y},{10 * level + day.weekday() + (number % 3) / 4}"
        for level, (name, end) in enumerate(ends.items(), 1)
        for number, day in enumerate(_business_days(end))
    ]
    path.write_text("shop,day,sales\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def _tables(folder, train):
    tables = series_recipe(folder, max_steps=2, num_evaluations=1, num_threads=1)
    tables["data"] |= {"train": str(train), "context_length": 40, "prediction_length": 10, "season_length": 5}
    tables["model"] |= {"attention_layers": ["local"], "patch_size": 5, "linear_context": 20}
    return tables


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("panel")
    tables = _tables(folder, _panel(folder / "panel.csv", {"A": 300, "B": 260}))
    write_recipe(checked_recipe(tables), folder / "recipe.toml")
    result = RUNNER.invoke(app, ["train", str(folder / "recipe.toml"), "-o", str(folder / "run")])
    assert result.exit_code == 0, result.output
    assert "several series, which the column 'shop' names" in " ".join((result.output + result.stderr).split())
    return folder


def test_each_series_is_forecast_from_its_own_end_on(run, tmp_path):
    # One is shorter than in training, one is new, and there is a picture of each.
    path = _panel(tmp_path / "later.csv", {"A": 300, "B": 280, "C/D": 30})
    output = tmp_path / "next.csv"
    pictures = tmp_path / "pictures"
    arguments = ["predict", str(run / "run"), str(path), "-o", str(output), "--pictures", str(pictures)]
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 0, result.output + result.stderr
    with output.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "shop", "date", "sales", "sales 0.1", "sales 0.9"]
    days = _business_days(320)
    for level, (name, end) in enumerate({"A": 300, "B": 280, "C/D": 30}.items(), 1):
        own = [row for row in rows if row["shop"] == name]
        assert [row["date"] for row in own] == [f"{day:%d.%m.%Y}" for day in days[end : end + 10]]
        assert all(10 * level - 5 < float(row["sales"]) < 10 * level + 10 for row in own)
    assert sorted(picture.name for picture in pictures.iterdir()) == [
        f"later.csv.{name}.png" for name in ("A", "B", "C%2FD")
    ]


def test_evaluation_counts_each_series_and_names_those_that_were_not_learned(run, tmp_path):
    metrics = json.loads((run / "run/metrics.json").read_text())["test"]
    assert {"A_mase", "B_mase"} <= set(metrics)
    only = _panel(tmp_path / "only.csv", {"B": 260})
    output = tmp_path / "metrics.json"
    result = RUNNER.invoke(app, ["evaluate", str(run / "run"), str(only), "-o", str(output)])
    assert result.exit_code == 0, result.output + result.stderr
    scores = json.loads(output.read_text())
    assert np.isnan(scores["A_mase"])
    assert scores["mase"] == scores["B_mase"]
    new = RUNNER.invoke(app, ["evaluate", str(run / "run"), str(_panel(tmp_path / "new.csv", {"A": 90, "C": 90}))])
    assert new.exit_code == 1
    assert "the run has not learned the series 'C'" in " ".join(new.stderr.split())


def test_a_series_without_a_change_in_training_is_left_out_aloud(tmp_path):
    path = _panel(tmp_path / "panel.csv", {"A": 300, "B": 260})
    late = [f"C,{day:%d.%m.%Y},{day.day}" for day in _business_days(300)[-30:]]
    path.write_text(path.read_text() + "\n".join(late) + "\n")
    splits = load_series_splits(checked_recipe(_tables(tmp_path, path)).data)
    assert splits.reader.columns == ("A", "B")
    assert (splits.reader.series_column, splits.reader.value_columns) == ("shop", ("sales",))
    assert any(line.startswith("C: nothing changes there in the training part") for line in describe_series(splits))


def test_a_column_that_begins_after_the_training_part_is_named(tmp_path):
    days = _business_days(300)
    rows = "".join(f"{day},{number % 7},{number if number > 280 else ''}\n" for number, day in enumerate(days))
    (tmp_path / "late.csv").write_text(f"day,y,late\n{rows}", encoding="utf-8")
    recipe = checked_recipe(_tables(tmp_path, tmp_path / "late.csv")).data
    with pytest.raises(DataError, match=rf"'late' has no number in the training part.*first is at {days[281]}"):
        load_series_splits(recipe)


def test_a_channel_of_which_nothing_is_known_has_no_forecast(run, tmp_path):
    path = _panel(tmp_path / "gone.csv", {"A": 300, "B": 300})
    lines = path.read_text().splitlines()
    lines[-45:] = [line.rpartition(",")[0] + "," for line in lines[-45:]]
    path.write_text("\n".join(lines) + "\n")
    result = RUNNER.invoke(app, ["predict", str(run / "run"), str(path)])
    assert result.exit_code == 1
    assert "the last 40 steps of the column 'sales' of 'B' have no number" in " ".join(result.stderr.split())
    assert {json.loads(line)["shop"] for line in result.stdout.splitlines()} == {"A"}


def test_nothing_is_learned_of_a_channel_that_was_not_observed_before():
    values = np.arange(40.0)[:, None] * [1.0, 1.0]
    values[:20, 1] = np.nan
    dates = np.datetime64("2024-01-01", "s") + np.arange(40) * np.timedelta64(3600, "s")
    windows = SeriesWindows(Series("a", ("x", "y"), dates, values, 3600, "s"), 10, 5, 0, 40)
    labels = {int(at): windows[index]["labels"] for index, at in enumerate(windows.origins)}
    assert np.isnan(labels[20][:, 1]).all()
    assert labels[20][:, 0].tolist() == [20, 21, 22, 23, 24]
    assert labels[21][:, 1].tolist() == [21, 22, 23, 24, 25]
