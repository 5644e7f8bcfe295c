"""The options of a recipe reach its run, and the process has its state back afterwards."""

import random
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from rich.console import Console
from transformers.utils import logging

from reformer.errors import ReformerError
from reformer.runs.loading import load_run
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from reformer.training.trainer import DivergedError
from tests.tiny import ner_recipe

QUIET = Console(quiet=True)


def test_the_clock_ends_a_run(tmp_path):
    recipe = checked_recipe(ner_recipe(tmp_path, max_steps=None, max_minutes=0.02, num_evaluations=2))
    metrics = train(recipe, tmp_path / "run", console=QUIET)
    assert 0.02 <= metrics["training"]["minutes"] < 0.2
    assert metrics["training"]["steps"] >= 1


def test_early_stopping_ends_a_run_that_gains_nothing(tmp_path):
    # Without learning no evaluation is better than the first.
    recipe = checked_recipe(
        ner_recipe(tmp_path, max_steps=60, num_evaluations=30, learning_rate=1e-12, early_stopping_patience=2)
    )
    assert train(recipe, tmp_path / "run", console=QUIET)["training"]["steps"] == 6


def test_the_options_of_a_run_reach_it(tmp_path):
    tables = ner_recipe(
        tmp_path,
        max_steps=2,
        precision="bfloat16",
        num_threads=2,
        max_grad_norm=0.0,
        weight_decay=0.0,
        logging_steps=1,
        seed=5,
    )
    tables["tokenizer"] = {"kind": "character", "vocab_size": 270, "min_frequency": 2}
    tables["data"]["separator"] = "\n\n"
    metrics = train(checked_recipe(tables), tmp_path / "run", console=QUIET)
    run = load_run(tmp_path / "run")
    assert run.model.config.vocab_size == len(run.tokenizer) <= 270
    assert metrics["training"]["threads"] == 2


def _process_state():
    return (
        torch.get_num_threads(),
        logging.get_verbosity(),
        random.getstate(),
        str(np.random.get_state()),
        torch.get_rng_state().tolist(),
    )


@pytest.mark.parametrize("options", [{}, {"learning_rate": 1e30, "warmup_ratio": 0.0, "logging_steps": 1}])
def test_the_process_has_its_state_back_also_after_a_failure(tmp_path, options):
    recipe = checked_recipe(ner_recipe(tmp_path, max_steps=3, num_threads=2, **options))
    before = _process_state()
    with pytest.raises(DivergedError) if options else nullcontext():
        train(recipe, tmp_path / "run", console=QUIET)
    assert _process_state() == before


def test_trackers_are_told_or_refused_before_anything_is_read(tmp_path, monkeypatch):
    import sys
    from types import ModuleType

    from transformers import TrainerCallback
    from transformers.integrations import integration_utils

    recipe = checked_recipe(ner_recipe(tmp_path, max_steps=2, num_evaluations=1, report_to=["trackio", "tensorboard"]))
    monkeypatch.setattr("reformer.training.setup.find_spec", lambda name: None)
    with pytest.raises(ReformerError, match="trackio not installed; pip install trackio"):
        train(recipe, tmp_path / "run", console=QUIET)
    assert not (tmp_path / "run").exists()

    told = []

    class Tracker(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            told.append((args.run_name, set(logs or {})))

    monkeypatch.setattr("reformer.training.setup.find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "trackio", ModuleType("trackio"))
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "trackio", Tracker)
    train(recipe, tmp_path / "run", console=QUIET)
    assert {name for name, _ in told} == {"run"}
    assert any("eval_f1" in names for _, names in told)
    assert any((tmp_path / "run/logs").iterdir())

    quiet = checked_recipe(ner_recipe(tmp_path, max_steps=1, num_evaluations=1, report_to=[]))
    train(quiet, tmp_path / "quiet", console=QUIET)
    assert not (tmp_path / "quiet/logs").exists()
