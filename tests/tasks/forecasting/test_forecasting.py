"""A table with dates in, its next steps out."""

import csv
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from reformer.cli import app
from reformer.data import DataError, read_series
from reformer.data.batching.series_windows import SeriesWindows
from reformer.finetuning import freeze
from reformer.metrics.forecasting import ForecastMetric
from reformer.recipe import RecipeError
from reformer.runs.loading import load_run
from reformer.runs.recipe_file import write_recipe
from reformer.tasks.forecasting import linear_fit as linear_forecast
from reformer.tasks.forecasting.splits import load_series_splits
from reformer.tasks.recipe_checks import checked_recipe
from reformer.tasks.registry import TASKS
from reformer.training.train import train
from reformer.training.trainer import DivergedError
from tests.tiny import series_recipe, write_series

RUNNER = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forecast")
    write_recipe(checked_recipe(series_recipe(folder)), folder / "recipe.toml")
    result = RUNNER.invoke(app, ["train", str(folder / "recipe.toml"), "-o", str(folder / "run")])
    assert result.exit_code == 0, result.output
    return folder


def test_a_run_beats_the_last_season_on_what_it_can_learn(run):
    metrics = json.loads((run / "run/metrics.json").read_text())
    assert metrics["test"]["mase"] < 0.8
    assert metrics["test"]["forecasts"] > 5
    assert set(metrics["test"]) >= {"mae", "rmse", "coverage", "load_mase", "heat_mase"}
    assert not (run / "run/tokenizer.json").exists()


def test_predict_writes_the_horizon_and_a_picture(run, tmp_path):
    arguments = ["predict", str(run / "run"), str(run / "series.csv"), "-o", str(tmp_path / "next.csv")]
    result = RUNNER.invoke(app, [*arguments, "--pictures", str(tmp_path / "pictures")])
    assert result.exit_code == 0, result.output
    with (tmp_path / "next.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    series = read_series(run / "series.csv")
    assert [row["date"] for row in rows] == [str(date).replace("T", " ") for date in series.dates_after(12)]
    assert list(rows[0]) == ["file", "date", "load", "load 0.1", "load 0.9", "heat", "heat 0.1", "heat 0.9"]
    assert all(float(row["load 0.1"]) <= float(row["load"]) <= float(row["load 0.9"]) for row in rows)
    assert (tmp_path / "pictures/series.csv.png").stat().st_size > 5000


def test_a_picture_replaces_nothing_unasked_and_no_input_ever(run, tmp_path):
    series, other = tmp_path / "series.csv", tmp_path / "other"
    series.write_bytes((run / "series.csv").read_bytes())
    other.mkdir()
    (other / "series.csv").write_bytes((run / "series.csv").read_bytes())

    def predicted(*files, pictures, options=()):
        paths = [str(file) for file in files]
        arguments = ["predict", str(run / "run"), *paths, "--pictures", str(pictures), *options]
        return RUNNER.invoke(app, arguments)

    picture = tmp_path / "pictures/series.csv.png"
    picture.parent.mkdir()
    picture.write_bytes(b"dear")
    refused = predicted(series, pictures=picture.parent)
    assert refused.exit_code == 1
    assert "series.csv.png: this exists already; take another --pictures, or --overwrite" in refused.stderr
    assert refused.stdout == ""
    assert picture.read_bytes() == b"dear"
    twice = predicted(series, other / "series.csv", pictures=tmp_path / "new")
    assert twice.exit_code == 1
    assert "would both be plotted here" in twice.stderr
    assert not (tmp_path / "new").exists()
    (tmp_path / "series.csv.png").write_bytes(b"an input")
    result = predicted(series, tmp_path / "series.csv.png", pictures=tmp_path, options=["--overwrite"])
    assert "is the same file as" in result.stderr
    assert (tmp_path / "series.csv.png").read_bytes() == b"an input"
    assert predicted(series, pictures=picture.parent, options=["--overwrite"]).exit_code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_column_that_looks_like_a_formula_is_its_name(run, tmp_path):
    from reformer.tasks.forecasting.plot import plot_forecast

    series = replace(read_series(run / "series.csv"), columns=(r"$\nonsense$", "a_b^c"), name=r"$\frac$.csv")
    dates, point = series.dates_after(12), np.zeros((12, 2))
    plot_forecast(series, dates, point, None, (), tmp_path / "plot.png", overwrite=False)
    assert (tmp_path / "plot.png").exists()


def test_bad_files_and_rows_are_named_and_the_others_are_answered(run, tmp_path):
    lines = (run / "series.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    lines[50] = lines[50].rpartition(",")[0] + ",much\n"
    (tmp_path / "bad.csv").write_text("".join(lines), encoding="utf-8")
    (tmp_path / "daily.csv").write_text("when,load,heat\n2024-01-01,1,2\n2024-01-02,1,2\n", encoding="utf-8")
    files = [str(tmp_path / name) for name in ("missing.csv", "bad.csv", "daily.csv")]
    result = RUNNER.invoke(app, ["predict", str(run / "run"), *files])
    assert result.exit_code == 1
    assert "missing.csv: there is no such file" in result.stderr
    assert "bad.csv:51: 'much' in the column 'heat' is no number" in result.stderr
    assert "daily.csv: its rows are 86400 seconds apart, and the model has learned 3600 seconds" in result.stderr
    assert "3 left out" in result.stderr
    assert len(result.stdout.splitlines()) == 12


def test_evaluate_names_a_row_that_cannot_be_read(run, tmp_path):
    path = write_series(tmp_path / "other.csv", 200)
    with open(path, "a", encoding="utf-8") as file:
        file.write("tomorrow,1,2\n")
    with pytest.raises(DataError, match=r"other\.csv:\d+: "):
        load_run(run / "run").processor.read(str(path))


def test_evaluate_takes_another_file(run, tmp_path):
    write_series(tmp_path / "other.csv", 300, seed=5)
    result = RUNNER.invoke(app, ["evaluate", str(run / "run"), str(tmp_path / "other.csv")])
    assert result.exit_code == 0, result.output
    assert "mase" in result.stdout


@pytest.mark.parametrize(
    ("table", "fields", "message"),
    [
        ("data", {"prediction_length": None}, r"data\.prediction_length = null: expected a valid integer"),
        ("data", {"max_length": 9}, r"data\.max_length is for .*; leave it out for forecasting"),
        ("data", {"test": "b.csv"}, "give one of them"),
        (
            "data",
            {"date_format": "dd.mm.yyyy"},
            "expected day-first, month-first, year-first, excel, epoch, or a pattern",
        ),
        ("data", {"date_format": "%Y", "date_columns": ["a", "b"]}, "date_columns names several"),
        ("data", {"source": "index:electricity", "train": None, "dst": "first"}, "leave out dst"),
        ("data", {"dst": "last"}, "'first', 'shift' or 'utc'"),
        ("tokenizer", {"kind": "byte"}, r"\[tokenizer\] is for texts"),
        (
            "model",
            {"max_position_embeddings": 20},
            r"make 27 tokens with .*: more than model\.max_position_embeddings = 20",
        ),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(tmp_path, table, fields, message):
    tables = series_recipe(tmp_path)
    tables.setdefault(table, {}).update(fields)
    with pytest.raises(RecipeError, match=message):
        checked_recipe(tables)


def test_the_future_is_what_is_measured(tmp_path):
    splits = load_series_splits(checked_recipe(series_recipe(tmp_path)).data)
    assert splits.test is not None
    ends = [windows.origins[-1] + windows.horizon for windows in (splits.train, splits.validation)]
    assert ends[0] <= splits.validation.origins[0]
    assert ends[1] <= splits.test.origins[0]


def test_a_window_has_what_comes_before_and_what_follows(tmp_path):
    series = read_series(write_series(tmp_path / "a.csv", 60))
    windows = SeriesWindows(series, 20, 6, 0, 60)
    item = windows[int(np.flatnonzero(windows.origins == 10)[0])]
    assert np.isnan(item["values"][:10]).all()
    assert np.allclose(item["values"][10:], series.values[:10], equal_nan=True)
    assert np.allclose(item["labels"], series.values[10:16], equal_nan=True)
    assert item["time_features"].shape == (26, 6)


@pytest.mark.parametrize(
    ("rows", "fields", "message"),
    [
        (52, {}, "none of those"),
        (90, {"season_length": 80}, "steps to learn from and a season of 80"),
    ],
)
def test_a_series_that_is_too_short_is_an_error(tmp_path, rows, fields, message):
    tables = series_recipe(tmp_path)
    write_series(Path(tables["data"]["train"]), rows)
    tables["data"] |= fields
    with pytest.raises(DataError, match=message):
        train(checked_recipe(tables), tmp_path / "run")


def test_mase_is_the_error_beside_that_of_the_last_season():
    score = ForecastMetric(["a", "b"], [2.0, 10.0], [0.1, 0.5, 0.9])
    known = np.array([[[1.0, 10.0], [np.nan, 20.0]]])
    found = np.array([[[2.0, 15.0], [7.0, 15.0]]])
    score.update(found, known, np.stack([found - 1, found, found + 6], -1))
    result = score.result()
    assert result["a_mase"] == 0.5
    assert result["b_mase"] == 0.5
    assert result["mae"] == 3.0
    assert result["coverage"] == pytest.approx(2 / 3)


def test_a_forecaster_begins_at_its_least_squares(tmp_path):
    recipe = checked_recipe(series_recipe(tmp_path))
    data = TASKS["forecasting"].load_data(recipe)
    errors = []
    model = TASKS["forecasting"].head(data.config).eval()
    for primed in (False, True):
        if primed:
            data.initialize(model)
        score = data.new_metric()
        with torch.no_grad():
            data.evaluate_batch(model, data.collate([data.validation[index] for index in range(10)]), score)
        errors.append(score.result()["mase"])
    assert errors[1] < 0.8 < errors[0]


def test_days_unlike_all_others_do_not_decide_where_it_begins(tmp_path, monkeypatch):
    tables = series_recipe(tmp_path)
    lines = (tmp_path / "series.csv").read_text(encoding="utf-8").splitlines()
    pick = random.Random(0)
    for number in pick.sample(range(1, 400), 12):
        date, load, heat = lines[number].split(",")
        lines[number] = f"{date},{20 * float(load)},{heat}"
    (tmp_path / "series.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    errors = []
    for reweightings in (0, linear_forecast.REWEIGHTINGS):
        monkeypatch.setattr(linear_forecast, "REWEIGHTINGS", reweightings)
        data = TASKS["forecasting"].load_data(checked_recipe(tables))
        model = TASKS["forecasting"].head(data.config).eval()
        data.initialize(model)
        score = data.new_metric()
        with torch.no_grad():
            batch = data.collate([data.validation[index] for index in range(len(data.validation))])
            data.evaluate_batch(model, batch, score)
        errors.append(score.result()["load_mase"])
    assert errors[1] < 0.95 * errors[0]


def _start(run, folder, horizon=12, **finetune):
    tables = series_recipe(folder, max_steps=1, learning_rate=1e-9, num_evaluations=1)
    tables["data"]["prediction_length"] = horizon
    return checked_recipe(tables | {"model": {}, "finetune": {"start_from": str(run / "run"), **finetune}})


def test_a_run_starts_from_a_forecaster(run, tmp_path):
    before = json.loads((run / "run/metrics.json").read_text())
    metrics = train(_start(run, tmp_path, freeze=["embeddings", "0"]), tmp_path / "same", console=Console(quiet=True))
    assert metrics["start"]["new"] == []
    assert metrics["test"]["mase"] == pytest.approx(before["test"]["mase"], abs=1e-5)
    assert 0 < metrics["training"]["learned_weights"] < metrics["training"]["weights"]
    # What draws the line has as many outputs as there are steps to foretell.
    shorter = train(_start(run, tmp_path, horizon=6, freeze="auto"), tmp_path / "shorter", console=Console(quiet=True))
    assert shorter["start"]["new"] == ["linear.bias", "linear.weight"]
    assert load_run(tmp_path / "shorter").model.config.prediction_length == 6


def test_what_a_forecaster_reads_by_is_frozen_with_its_embeddings(run):
    model = load_run(run / "run").model
    frozen = freeze(model, ["embeddings"])
    assert frozen == ["embed.weight", "embed.bias"]


def _as_table(path, numbers):
    start = np.datetime64("2024-01-01T00:00")
    lines = [f"{start + np.timedelta64(hour, 'h')},{number!r}" for hour, number in enumerate(numbers)]
    path.write_text("when,load\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def _daily(factor=1.0, offset=0.0):
    noise = np.random.default_rng(0).normal(size=600)
    small = 10 + 3 * np.sin(2 * np.pi * np.arange(600) / 24) + 0.3 * noise
    return [float(number) for number in small * factor + offset]


def _trained(folder, numbers, **training):
    folder.mkdir()
    tables = series_recipe(folder, max_steps=30, num_evaluations=2, num_threads=1, precision="float32", **training)
    tables["data"] |= {"train": str(_as_table(folder / "load.csv", numbers)), "prediction_length": 24}
    tables["data"]["validation_fraction"] = 0.2
    tables["model"] |= {"attention_layers": ["local"], "hidden_dropout_prob": 0.0, "patch_size": 12}
    return train(checked_recipe(tables), folder / "run", console=Console(quiet=True))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Test metrics on a series of numbers about 10."""
    return _trained(tmp_path_factory.mktemp("plain") / "run", _daily())["test"]


@pytest.mark.parametrize(
    ("factor", "offset"),
    [(1.0, 2e7), (1.0, 1.7e9), (1.0, 1e12), (1e-30, 0.0), (1e300, 0.0)],
    ids=["c2e7", "c1e9", "big", "tiny", "huge"],
)
def test_a_series_is_forecast_alike_whatever_its_offset_and_unit(plain, tmp_path, factor, offset):
    numbers = _daily(factor, offset)
    metrics = _trained(tmp_path / "run", numbers)["test"]
    assert 0 < plain["mase"] < 1
    # 1e12 has 1e-4 left for its changes.
    assert metrics["mase"] == pytest.approx(plain["mase"], rel=0.01)
    assert metrics["rmse"] == pytest.approx(factor * plain["rmse"], rel=0.01)
    assert metrics["coverage"] == pytest.approx(plain["coverage"], abs=0.02)
    assert metrics["constant_forecasts"] == 0
    result = RUNNER.invoke(app, ["predict", str(tmp_path / "run/run"), str(tmp_path / "run/load.csv")])
    assert result.exit_code == 0, result.output
    found = np.array([json.loads(line)["load"] for line in result.stdout.splitlines()])
    assert np.unique(found).size == 24
    assert ((found - offset) / factor).min() > 5
    assert ((found - offset) / factor).max() < 15


@pytest.mark.parametrize("exponent", [-97, 900])
def test_a_series_that_stands_still_for_a_while_is_forecast_alike_in_any_unit(tmp_path, exponent):
    # Longer than the context is, at zero and at another level: there the model sees no change at all.
    still = [0.0 if 100 < hour < 260 else 12.0 if 320 < hour < 460 else number for hour, number in enumerate(_daily())]
    numbers, factor = {"plain": still, "unit": [number * 2.0**exponent for number in still]}, 2.0**exponent
    results, forecasts = {}, {}
    for name, values in numbers.items():
        results[name] = _trained(tmp_path / name, values)["test"]
        _as_table(tmp_path / name / "still.csv", values[:240])
        answered = RUNNER.invoke(app, ["predict", str(tmp_path / name / "run"), str(tmp_path / name / "still.csv")])
        forecasts[name] = [json.loads(line)["load"] for line in answered.stdout.splitlines()]
    assert len(forecasts["plain"]) == 24
    assert forecasts["unit"] == [number * factor for number in forecasts["plain"]]
    assert results["unit"] == results["plain"] | {name: results["plain"][name] * factor for name in ("mae", "rmse")}


def test_numbers_whose_differences_overflow_are_refused_before_training(tmp_path):
    numbers = [1.7e308 * (-1) ** (hour // 24) for hour in range(600)]
    with pytest.raises(DataError, match="the column 'load' are so large that their differences overflow; divide them"):
        _trained(tmp_path / "run", numbers)


def test_a_score_that_is_nan_at_every_evaluation_is_one_error(tmp_path, monkeypatch):
    monkeypatch.setattr(ForecastMetric, "result", lambda self: {"mase": float("nan")})
    with pytest.raises(DivergedError, match="mase on the validation part was NaN at each of 2 evaluations"):
        _trained(tmp_path / "run", _daily())
