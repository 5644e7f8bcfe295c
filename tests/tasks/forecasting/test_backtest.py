"""Backtests over rolling origins: which origins, what is compared, what could not be, and calibrated intervals."""

import csv
import json
import math
import random
import sys
from datetime import datetime, timedelta
from html import unescape

import numpy as np
import pytest
from typer.testing import CliRunner

from reformer.cli import app
from reformer.runs.loading import load_run
from reformer.runs.recipe_file import write_recipe
from reformer.tasks.recipe_checks import checked_recipe
from tests.tiny import series_recipe

RUNNER = CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1"})


def _write(path, hours=900, missing=None, seed=0):
    """Two series by the hour whose noise has heavy tails; the second may have no number in some rows."""
    pick, start = random.Random(seed), datetime(2024, 1, 1)
    lines = ["when,load,heat"]
    for hour in range(hours):
        turn = math.sin(2 * math.pi * hour / 24)
        heat = "" if missing is not None and hour in missing else f"{-5 + turn + pick.gauss(0, 0.3):.4f}"
        lines.append(f"{start + timedelta(hours=hour)},{10 + 3 * turn + pick.gauss(0, 0.5):.4f},{heat}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _trained(folder, **data):
    tables = series_recipe(folder, max_steps=2, num_evaluations=1, num_threads=1, precision="float32")
    tables["data"] |= {"train": str(_write(folder / "load.csv")), "validation_fraction": 0.25, **data}
    tables["model"] |= {"attention_layers": ["local"]}
    write_recipe(checked_recipe(tables), folder / "recipe.toml")
    result = RUNNER.invoke(app, ["train", str(folder / "recipe.toml"), "-o", str(folder / "run")])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return _trained(tmp_path_factory.mktemp("backtest"))


def _evaluated(folder, file, *options):
    output = folder / "metrics-of-it.json"
    arguments = ["evaluate", str(folder / "run"), str(file), "-o", str(output), "--overwrite", *options]
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return json.loads(output.read_text()), result


def test_the_last_origins_are_forecast_and_the_seasonal_naive_stands_beside(run):
    metrics, result = _evaluated(run, run / "load.csv", "--origins", "3")
    assert metrics["forecasts"] == 3
    # Twelve hours each; the last of 900 hours is 2024-02-07 11:00.
    origins = [row["origin"] for row in metrics["origins"]]
    assert origins == ["2024-02-06 00:00:00", "2024-02-06 12:00:00", "2024-02-07 00:00:00"]
    assert set(metrics["origins"][0]) == {
        *("origin", "mase", "rmse", "smape", "pinball", "coverage", "seasonal naive"),
    }
    assert metrics["mase"] == pytest.approx(np.mean([row["mase"] for row in metrics["origins"]]))
    naive = metrics["baselines"]["seasonal naive"]
    assert naive["mase"] == pytest.approx(np.mean([row["seasonal naive"] for row in metrics["origins"]]))
    rows = list(csv.reader((run / "load.csv").read_text(encoding="utf-8").splitlines()))[1:]
    values = np.array([[float(cell) for cell in row[1:]] for row in rows])
    errors = np.abs(
        np.concatenate([values[begin : begin + 12] - values[begin - 24 : begin - 12] for begin in (864, 876, 888)])
    )
    assert naive["mae"] == pytest.approx(errors.mean())
    assert metrics["not_scored"] == {}
    assert "seasonal naive" in result.stdout
    assert "2024-02-06 12:00:00" in result.stdout


def test_a_step_alone_goes_over_the_whole_series(run):
    metrics, _ = _evaluated(run, run / "load.csv", "--step", "100")
    assert metrics["forecasts"] == (900 - 2 * 12) // 100 + 1
    assert "origins" not in metrics
    near, _ = _evaluated(run, run / "load.csv", "--origins", "2", "--step", "1")
    assert [row["origin"] for row in near["origins"]] == ["2024-02-06 23:00:00", "2024-02-07 00:00:00"]


def test_more_origins_than_there_is_room_for_are_refused_with_how_many_there_are(run):
    arguments = ["evaluate", str(run / "run"), str(run / "load.csv"), "--origins"]
    refused = RUNNER.invoke(app, [*arguments, "75"])
    assert refused.exit_code == 1
    assert "75 origins 12 steps apart" in refused.stderr
    assert "ask for at most 74 origins" in refused.stderr
    assert RUNNER.invoke(app, [*arguments, "74"]).exit_code == 0


def test_a_series_that_cannot_be_scored_is_named(run, tmp_path):
    file = _write(tmp_path / "gap.csv", missing=range(800, 900))
    metrics, result = _evaluated(run, file, "--origins", "2")
    assert list(metrics["not_scored"]) == ["heat"]
    assert "not scored: heat; from no origin" in result.stderr
    assert math.isnan(metrics["heat_mase"])
    assert metrics["mase"] == metrics["load_mase"]


def test_a_run_of_another_task_has_no_origins(run):
    options = ["--text-column", "x"]
    refused = RUNNER.invoke(app, ["evaluate", str(run / "run"), str(run / "load.csv"), *options])
    assert "--text-column means nothing to a run that has learned forecasting" in refused.stderr


def test_statistical_methods_stand_beside_and_what_they_could_not_fit_is_named(run, tmp_path):
    pytest.importorskip("statsforecast")
    options = ["--origins", "2", "--baseline", "auto-ets", "--baseline", "auto-theta"]
    metrics, _ = _evaluated(run, run / "load.csv", *options)
    assert list(metrics["baselines"]) == ["seasonal naive", "AutoETS", "AutoTheta"]
    for name in ("AutoETS", "AutoTheta"):
        found = metrics["baselines"][name]
        assert found["forecasts"] == 2
        assert found["mase"] < 1.3
        assert 0.4 < found["coverage"] <= 1
        assert found["pinball"] < metrics["baselines"]["seasonal naive"]["mase"]
    assert metrics["not_fitted"] == []
    # Two numbers before the only forecast of one of them.
    file = _write(tmp_path / "short.csv", missing=range(886))
    metrics, result = _evaluated(run, file, "--origins", "2", "--baseline", "auto-theta")
    assert [(row["method"], row["series"], row["origin"]) for row in metrics["not_fitted"]] == [
        ("AutoTheta", "heat", "2024-02-07 00:00:00")
    ]
    assert "AutoTheta was not fitted 1 times" in result.stderr
    assert math.isnan(metrics["baselines"]["AutoTheta"]["heat_mase"])
    assert math.isfinite(metrics["heat_mase"])


def test_without_the_library_a_statistical_method_is_refused(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "statsforecast", None)
    refused = RUNNER.invoke(app, ["evaluate", str(run / "run"), str(run / "load.csv"), "--baseline", "auto-ets"])
    assert refused.exit_code == 1
    assert "pip install 'reformer-torch[statsforecast]'" in refused.stderr


def test_intervals_are_calibrated_on_validation_and_used_everywhere(run):
    metrics = json.loads((run / "run/metrics.json").read_text())
    fitted = json.loads((run / "run/calibration.json").read_text())["intervals"]
    assert fitted["levels"] == [0.1, 0.5, 0.9]
    assert np.array(fitted["shifts"]).shape == (12, 3)
    calibration = metrics["calibration"]
    # The model has hardly learned its quantiles.
    before, after = (calibration["validation"][f"coverage_{when}"] for when in ("before", "after"))
    assert abs(after - 0.8) < 0.04 < abs(before - 0.8)
    assert (
        metrics["test"]["coverage"] == calibration["test"]["coverage_after"] != calibration["test"]["coverage_before"]
    )
    assert calibration["test"]["pinball_after"] < calibration["test"]["pinball_before"]
    assert abs(metrics["test"]["coverage"] - 0.8) < 0.08
    assert "intervals" not in calibration
    # predict writes them: each quantile is that of the model and its shift.
    loaded = load_run(run / "run")
    answers = RUNNER.invoke(app, ["predict", str(run / "run"), str(run / "load.csv")])
    assert answers.exit_code == 0, answers.output
    rows = [json.loads(line) for line in answers.stdout.splitlines()]
    shifts = np.array(fitted["shifts"]) * loaded.processor.units[0]
    (run / "run/calibration.json").rename(run / "aside.json")
    try:
        plain = RUNNER.invoke(app, ["predict", str(run / "run"), str(run / "load.csv")])
        assert "the quantiles are not calibrated: the run was trained by a version that fitted none" in plain.stderr
    finally:
        (run / "aside.json").rename(run / "run/calibration.json")
    of_model = [json.loads(line) for line in plain.stdout.splitlines()]
    for column, place in (("load 0.1", 0), ("load", 1), ("load 0.9", 2)):
        expected = [row[column] + shift for row, shift in zip(of_model, shifts[:, place], strict=True)]
        assert [row[column] for row in rows] == pytest.approx(expected)


@pytest.mark.parametrize("change", [{"levels": [0.2, 0.5, 0.8]}, {"shifts": [[0.0, 0.0, 0.0]]}])
def test_a_calibration_of_another_model_is_refused(run, tmp_path, change):
    kept = (run / "run/calibration.json").read_text()
    calibration = json.loads(kept)
    calibration["intervals"] |= change
    try:
        (run / "run/calibration.json").write_text(json.dumps(calibration))
        refused = RUNNER.invoke(app, ["predict", str(run / "run"), str(run / "load.csv")])
    finally:
        (run / "run/calibration.json").write_text(kept)
    assert refused.exit_code == 1
    assert "its calibration.json is of other quantiles than its model forecasts" in refused.stderr


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"intervals": "model"}, 'data.intervals = "model"'),
        ({"validation_fraction": 0.02}, "has 6 forecasts of a step, and the quantiles 0.1 and 0.9 need 9"),
    ],
)
def test_intervals_stay_those_of_the_model_on_request_and_where_little_is_held_out(tmp_path, fields, reason):
    folder = _trained(tmp_path, **fields)
    metrics = json.loads((folder / "run/metrics.json").read_text())["calibration"]
    assert reason in metrics["reason"]
    assert metrics["test"]["coverage_before"] == metrics["test"]["coverage_after"]
    result = RUNNER.invoke(app, ["predict", str(folder / "run"), str(folder / "load.csv")])
    assert "the quantiles are not calibrated:" in result.stderr
    assert reason in unescape((folder / "run/report.html").read_text())
