"""A run's first line tells what it will take, and what cannot fit is not begun."""

import io

import pytest
from rich.console import Console

from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.plan import first_line
from reformer.training.plan.first_line import TooLargeError
from reformer.training.train import train
from tests.cli.test_cli import reformer
from tests.tiny import language_recipe


def _said(recipe, folder, **options):
    """The lines about the plan that training prints."""
    seen = io.StringIO()
    train(recipe, folder, console=Console(file=seen, width=300), **options)
    return [line for line in seen.getvalue().splitlines() if line.startswith(("plan:", "warning: this may"))]


@pytest.fixture
def recipe(tmp_path):
    return checked_recipe(language_recipe(tmp_path, max_steps=2, num_evaluations=1))


def test_a_short_run_is_not_measured(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(first_line, "Trial", None)
    assert _said(recipe, tmp_path / "run") == ["plan: 2 steps of about 494 tokens, less than a minute"]
    assert _said(recipe, tmp_path / "silent", plan=False) == []


def test_a_longer_run_is_measured_and_learns_the_same(recipe, tmp_path, monkeypatch):
    _said(recipe, tmp_path / "unmeasured", plan=False)
    monkeypatch.setattr(first_line, "SHORT_SECONDS", 0.0)
    (line,) = _said(recipe, tmp_path / "run")
    assert line.startswith("plan: 2 steps of about 494 tokens, about ")
    assert "MiB of " in line or "GiB of " in line
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "unmeasured")]
    assert weights[0] == weights[1]


def test_what_cannot_fit_is_refused_before_the_first_step(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(first_line, "SHORT_SECONDS", 0.0)
    monkeypatch.setattr(first_line, "free_memory", lambda: -(1 << 40))
    monkeypatch.setattr(first_line.psutil, "swap_memory", lambda: type("Swap", (), {"free": 0}))
    with pytest.raises(TooLargeError, match=r"cannot fit: .* 4 rows of 128 tokens, .* --no-plan"):
        _said(recipe, tmp_path / "run")
    # Nothing is in the way of another try.
    assert _said(recipe, tmp_path / "run", plan=False) == []


def test_what_may_not_fit_is_warned_of(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(first_line, "SHORT_SECONDS", 0.0)
    monkeypatch.setattr(first_line, "free_memory", lambda: 0)
    assert [line.split(":")[0] for line in _said(recipe, tmp_path / "run")] == ["plan", "warning"]


def test_the_command_has_a_way_around(tmp_path):
    assert "--no-plan" in reformer("train", "--help").stdout
