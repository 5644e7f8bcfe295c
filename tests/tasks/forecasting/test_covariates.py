"""Covariates: what is known ahead is learned from, asked for by name, and refused where it is not whole."""

import csv
import json
from datetime import date, timedelta

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from reformer.cli import app
from reformer.data import DataError
from reformer.recipe import RecipeError
from reformer.runs.loading import load_run
from reformer.tasks.forecasting.splits import load_series_splits
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from tests.tiny import series_recipe

RUNNER = CliRunner(env={"COLUMNS": "400", "NO_COLOR": "1"})
HORIZON = 6
FESTS = ("", "", "", "Easter", "May Day")


def _row(name, number, pick, *, observed=True):
    """A row of which the price and the fest determine the sales, but for the shop's level."""
    price, fest = round(float(pick.normal(20, 4)), 3), FESTS[int(pick.integers(len(FESTS)))]
    level = {"A": 100, "B": 1000}[name]
    sales = level * (1 - (price - 20) / 20 + {"": 0, "Easter": 0.6, "May Day": -0.5}[fest])
    shown = f"{sales:.3f}" if observed else ""
    return f"{name},{date(2022, 1, 1) + timedelta(number)},{shown},{price},{fest},{'small' if name == 'A' else 'large'}"


def _panel(path, days=300, ahead=HORIZON, seed=0):
    pick = np.random.default_rng(seed)
    rows = [_row(name, day, pick, observed=day < days) for name in "AB" for day in range(days + ahead)]
    path.write_text("shop,day,sales,price,fest,size\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def _tables(folder, train_file, covariates=True, **data):
    tables = series_recipe(folder, max_steps=150, num_evaluations=3, num_threads=1, precision="float32")
    tables["data"] |= {"train": str(train_file), "columns": ["sales"], "context_length": 24, "season_length": 7}
    tables["data"] |= {"prediction_length": HORIZON, "validation_fraction": 0.15}
    if covariates:
        tables["data"] |= {"known_columns": ["price", "fest"], "static_columns": ["size"]}
    tables["data"] |= data
    tables["model"] |= {"attention_layers": ["local"], "hidden_dropout_prob": 0.0, "patch_size": 1}
    tables["model"] |= {"linear_context": 14}
    return tables


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The metrics of a run with covariates and of one without, on sales that they determine."""
    folder = tmp_path_factory.mktemp("covariates")
    path, found = _panel(folder / "sales.csv"), {}
    for name, told in (("with", True), ("without", False)):
        tables = _tables(folder, path, covariates=told)
        if not told:
            # Without covariates, rows that are empty at the end would be the steps to forecast from.
            tables["data"]["train"] = str(_panel(folder / "past.csv", ahead=0))
        found[name] = train(checked_recipe(tables), folder / name, console=Console(quiet=True))
    return folder, found


def test_sales_that_covariates_determine_are_learned_far_better_with_them(runs):
    metrics = runs[1]
    assert metrics["without"]["test"]["mase"] > 0.6
    assert metrics["with"]["test"]["mase"] < 0.35 * metrics["without"]["test"]["mase"]
    told = load_run(runs[0] / "with").processor.covariates
    assert told.categories == {"fest": ("Easter", "May Day"), "size": ("large", "small")}
    assert told.scales["price"][0] == pytest.approx(20, abs=0.5)


def _rows(path):
    return list(csv.reader(path.read_text(encoding="utf-8").splitlines()))


def _predicted(run, *files, options=()):
    result = RUNNER.invoke(app, ["predict", str(run), *map(str, files), *map(str, options)])
    return result, [json.loads(line) for line in result.stdout.splitlines()]


def test_the_future_stands_behind_the_last_number_or_in_a_second_file(runs, tmp_path):
    folder = runs[0]
    result, records = _predicted(folder / "with", folder / "sales.csv")
    assert result.exit_code == 0, result.stderr
    first = date(2022, 1, 1) + timedelta(300)
    assert [record["date"] for record in records] == 2 * [str(first + timedelta(day)) for day in range(HORIZON)]
    rows = _rows(folder / "sales.csv")
    (tmp_path / "past.csv").write_text("\n".join(",".join(row) for row in rows if row[2]) + "\n", encoding="utf-8")
    # The columns are in another order, and past rows say nothing.
    lines = [f"{row[3]},{row[4]},{row[1]},{row[0]}" for row in rows]
    (tmp_path / "calendar.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    result, others = _predicted(
        folder / "with", tmp_path / "past.csv", options=["--future-covariates", tmp_path / "calendar.csv"]
    )
    assert result.exit_code == 0, result.stderr
    assert [record | {"file": ""} for record in others] == [record | {"file": ""} for record in records]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [row[:3] + row[4:] for row in rows], "there is no column 'price', known ahead (a covariate that"),
        (lambda rows: [row[:5] for row in rows], "there is no column 'size', static (a covariate that the model"),
        (
            lambda rows: [row for row in rows if row[2]],
            "the known columns 'price', 'fest' of the series 'A' have no value at 2022-10-28, and a forecast of 6 "
            "steps needs them from 2022-10-28 to 2022-11-02",
        ),
        (
            lambda rows: [[*row[:3], "" if row[1] == "2022-10-30" else row[3], *row[4:]] for row in rows],
            "the known column 'price' of the series 'B' has no value at 2022-10-30",
        ),
        (
            lambda rows: [[*row[:4], "Yule" if row[1] == "2022-10-30" else row[4], row[5]] for row in rows],
            "'Yule' in the column 'fest' is a category that the model has not learned; it knows 'Easter', 'May Day'",
        ),
        (
            lambda rows: [[*row[:5], "huge" if row[1] == "2022-10-20" else row[5]] for row in rows],
            "'huge' in the column 'size' is a category that the model has not learned; it knows 'large', 'small'",
        ),
        (
            lambda rows: [[*row[:5], "small" if row[1] == "2022-10-20" else row[5]] for row in rows],
            "the static column 'size' has another value than in line 308 of the same series",
        ),
        (
            lambda rows: [[*row[:3], "cheap" if row[1] == "2022-10-30" else row[3], *row[4:]] for row in rows],
            "'cheap' in the column 'price' is no number",
        ),
    ],
    ids=["no column", "no static column", "no rows", "no cell", "category", "static category", "changes", "no number"],
)
def test_what_is_missing_is_named(runs, tmp_path, change, message):
    rows = _rows(runs[0] / "sales.csv")
    (tmp_path / "a.csv").write_text("\n".join(map(",".join, change(rows))) + "\n", encoding="utf-8")
    result, _ = _predicted(runs[0] / "with", tmp_path / "a.csv")
    assert result.exit_code == 1
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("A,2022-10-28,20,\nA,2022-10-29,20,\n", "have no value at 2022-10-30"),
        ("C,2022-10-28,20,\n", "there are no rows of the series 'A'; it has 'C'"),
        ("A,2022-10-28 12:00,20,\n", "2022-10-28 12:00 is no whole number of steps of 86400 seconds after 2022-10-27"),
        ("A,2022-10-28,20,\nA,2022-10-28,20,\n", "2022-10-28T00:00:00 is the same date as an earlier row's"),
        ("A,2022-10-28,dear,\n", "'dear' in the column 'price' is no number"),
    ],
)
def test_a_second_file_that_is_not_whole_is_refused(runs, tmp_path, rows, message):
    past, calendar = _panel(tmp_path / "past.csv", ahead=0), tmp_path / "calendar.csv"
    calendar.write_text(f"shop,day,price,fest\n{rows}", encoding="utf-8")
    result, records = _predicted(runs[0] / "with", past, options=["--future-covariates", calendar])
    assert result.exit_code == 1
    assert message in " ".join(result.stderr.split())
    assert records == []


def test_a_second_file_is_refused_where_nothing_reads_it(runs, tmp_path):
    past = _panel(tmp_path / "past.csv", ahead=0)
    result, _ = _predicted(runs[0] / "without", past, options=["--future-covariates", past])
    assert "means nothing to a run that has learned no data.known_columns" in result.stderr
    result, _ = _predicted(runs[0] / "with", past, past, options=["--future-covariates", past])
    assert "tells the future of one file, and there are 2" in result.stderr


def test_evaluation_reads_covariates(runs, tmp_path):
    path = _panel(tmp_path / "other.csv", days=120, ahead=0, seed=3)
    result = RUNNER.invoke(app, ["evaluate", str(runs[0] / "with"), str(path), "-o", str(tmp_path / "scores.json")])
    assert result.exit_code == 0, result.stderr
    assert json.loads((tmp_path / "scores.json").read_text())["mase"] < 0.4


def test_numbers_may_be_categories_and_gaps_of_the_past_are_missing(tmp_path):
    lines = _panel(tmp_path / "sales.csv").read_text().replace("small", "1").replace("large", "2").splitlines()
    lines[20] = ",".join([*lines[20].split(",")[:3], "", "", lines[20].split(",")[5]])
    del lines[30]
    (tmp_path / "sales.csv").write_text("\n".join(lines) + "\n")
    tables = _tables(tmp_path, tmp_path / "sales.csv", categorical_columns=["size"])
    splits = load_series_splits(checked_recipe(tables).data)
    assert splits.reader.covariates.categories["size"] == ("1", "2")
    told = splits.train.series.covariates
    assert np.isnan(told.known[[19, 29], 0, 0]).all()
    assert told.known[19, 0, 1] == 0
    assert np.isnan(told.known[29, 0, 1])
    item = splits.train[20]
    batch = splits.reader.collate([item])
    assert batch["feat_dynamic_real"].shape == (1, 24 + HORIZON, 2, 1)
    assert batch["feat_dynamic_cat"].shape == (1, 24 + HORIZON, 2, 1)
    assert batch["feat_static_cat"].tolist() == [[[1], [2]]]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"known_columns": ["cost"]},
            r"there is no column 'cost', known ahead \(data.known_columns\); the columns are",
        ),
        (
            {"known_columns": ["price"], "static_columns": ["fest"]},
            "the static column 'fest' has another value than in",
        ),
        ({"known_columns": ["size", "one"]}, "the covariate 'one' is the same in all of the training part"),
        ({"static_columns": ["one"]}, "the covariate 'one' is the same for every series"),
        ({"known_columns": ["none"]}, "the covariate 'none' has no value in all of the training part"),
    ],
)
def test_covariates_that_teach_nothing_are_refused(tmp_path, fields, message):
    lines = _panel(tmp_path / "sales.csv").read_text().splitlines()
    lines = [f"{lines[0]},one,none", *(f"{line},1," for line in lines[1:])]
    (tmp_path / "sales.csv").write_text("\n".join(lines) + "\n")
    tables = _tables(tmp_path, tmp_path / "sales.csv", covariates=False, **fields)
    with pytest.raises(DataError, match=message):
        load_series_splits(checked_recipe(tables).data)


def test_a_single_series_has_no_static_columns(tmp_path):
    rows = "".join(f"{date(2022, 1, 1) + timedelta(day)},{day % 7},{day % 5}\n" for day in range(200))
    (tmp_path / "a.csv").write_text(f"day,sales,size\n{rows}")
    tables = _tables(tmp_path, tmp_path / "a.csv", covariates=False, static_columns=["size"])
    with pytest.raises(DataError, match="names 'size', and no column tells several series apart"):
        load_series_splits(checked_recipe(tables).data)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"known_columns": ["sales"]}, "'sales' is named twice"),
        ({"categorical_columns": ["shop"]}, "neither known_columns nor static_columns has it"),
        ({"source": "index:electricity", "train": None, "columns": None}, "leave out known_columns, static_columns"),
    ],
)
def test_recipes_that_contradict_themselves(tmp_path, fields, message):
    with pytest.raises(RecipeError, match=message):
        checked_recipe(_tables(tmp_path, tmp_path / "a.csv", **fields))
