"""Figures of hashed layers reach the tracker at each evaluation, and are those of an inspection."""

import json

import pytest
from pydantic import ValidationError
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reformer.errors import ReformerError
from reformer.insight.inspect import InspectOptions, inspect_run
from reformer.recipe import TrainingRecipe
from reformer.runs.folder import LOGS
from reformer.runs.loading import load_run
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from tests.tiny import ner_recipe, write_conll

QUIET = Console(quiet=True)


def test_tensorboard_is_told_at_each_evaluation_what_inspect_tells(tmp_path):
    tables = ner_recipe(tmp_path, max_steps=4, num_evaluations=2, inspect_examples=3, baseline="none", ema_decay=0.5)
    # A validation part that is the same file for both.
    tables["data"]["validation"] = str(write_conll(tmp_path / "validation.conll", 3, seed=2))
    del tables["data"]["validation_fraction"], tables["data"]["max_length"]
    tables["model"]["attention_layers"] = ["local+lsh", ["lsh", "local"]]
    train(checked_recipe(tables), tmp_path / "run", console=QUIET)
    logged = EventAccumulator(str(tmp_path / "run" / LOGS))
    logged.Reload()
    names = {name for name in logged.Tags()["scalars"] if name.startswith("eval/hashing/")}
    heads = {"layer_1/head_1", "layer_1/head_2", "layer_2/head_1"}
    assert {f"eval/hashing/{head}/held" for head in heads} < names
    assert {f"eval/hashing/layer_{layer}/best_keys" for layer in (1, 2)} < names
    values = {name: [event.value for event in logged.Scalars(name)] for name in names}
    assert all(len(each) == 2 for each in values.values())
    # Of the weights that were kept.
    run, read = load_run(tmp_path / "run"), PredictOptions()
    best = [event.step for event in logged.Scalars(min(names))].index(_kept(run))
    report = inspect_run(run, [tables["data"]["validation"]], read, InspectOptions(scores=False))
    for head in report.heads:
        found = values[f"eval/hashing/layer_{head.layer}/head_{head.head}/held"][best]
        assert found == pytest.approx(head.together, abs=1e-5)


def _kept(run) -> int:
    """The step whose weights a run has kept."""
    return json.loads((run.folder / "metrics.json").read_text(encoding="utf-8"))["validation"]["step"]


def test_a_model_that_hashes_nothing_is_refused_before_it_is_trained(tmp_path):
    tables = ner_recipe(tmp_path, max_steps=1, inspect_examples=1, baseline="none")
    tables["model"]["attention_layers"] = ["local"]
    with pytest.raises(ReformerError, match=r"training\.inspect_examples: this model hashes nothing.*1 x local"):
        train(checked_recipe(tables), tmp_path / "run", console=QUIET)


def test_without_a_tracker_there_is_nobody_to_tell():
    with pytest.raises(ValidationError, match="there is no tracker to tell"):
        TrainingRecipe(task="language-modelling", max_steps=1, inspect_examples=2, report_to=[])
