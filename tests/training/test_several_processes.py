"""Runs of several processes: weights sharded between them, one that is killed, and resumption on another number."""

import itertools
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from reformer.training.trainer import CountingTrainer
from tests.processes import begun_training, ended, trained_in_processes
from tests.tiny import language_recipe, ner_recipe, reviews_recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def _records_losses(folder: Path):
    """What has each process write the loss of every step into a file."""

    def before(rank: int) -> None:
        log = CountingTrainer.log

        def written(self, logs, start_time=None):
            if "loss" in logs:
                with open(folder / f"losses-{rank}", "a", encoding="utf-8") as file:
                    print(logs["loss"], file=file)
            log(self, logs, start_time)

        CountingTrainer.log = written

    return before


def _tables(recipe: Any, folder: Path, **training: object) -> dict[str, Any]:
    folder.mkdir()
    return recipe(folder, **({"max_steps": 20, "num_evaluations": 2, "logging_steps": 1} | training))


def _losses(folder: Path, rank: int = 0) -> list[float]:
    return [float(line) for line in (folder / f"losses-{rank}").read_text().split()]


@pytest.mark.parametrize("recipe", [language_recipe, ner_recipe, reviews_recipe])
@pytest.mark.parametrize(
    ("model", "training"),
    [
        ({}, {}),
        ({"reversible": False}, {"gradient_accumulation": 2}),
        ({"layer_drop": 0.3}, {"gradient_accumulation": 2}),
        ({"attention_layers": ["local", "lsh"] * 2, "num_distinct_layers": 2}, {}),
    ],
    ids=["reversible", "plain", "layer drop", "shared layers"],
)
def test_sharded_weights_learn_what_copies_of_them_learn(recipe, model, training, tmp_path):
    found = {}
    for fsdp in (False, True):
        folder = tmp_path / f"{fsdp}"
        tables = _tables(recipe, folder, fsdp=fsdp, **training)
        tables["model"] |= model
        statuses, said = trained_in_processes(2, folder, tables, before=_records_losses(folder))
        assert statuses == [0, 0], said
        assert "FSDP2" not in "".join(said)
        found[fsdp] = folder
    expected, losses = _losses(found[False]), _losses(found[True])
    assert len(losses) == 20
    assert losses == pytest.approx(expected, abs=1e-5)
    weights, shards = (load_file(found[fsdp] / "run/model.safetensors") for fsdp in (False, True))
    assert weights.keys() == shards.keys()
    for name, weight in weights.items():
        assert torch.allclose(weight, shards[name], atol=1e-5), name
    scores, sharded = (json.loads((found[fsdp] / "run/metrics.json").read_text()) for fsdp in (False, True))
    assert sharded["validation"]["loss"] == pytest.approx(scores["validation"]["loss"], abs=1e-4)
    assert sharded["training"]["weights"] == scores["training"]["weights"]


@pytest.mark.parametrize("fsdp", [False, True])
@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_is_killed_ends_the_others_with_one_message(fsdp, killed, tmp_path):
    whole = _tables(language_recipe, tmp_path / "whole", fsdp=fsdp)
    assert trained_in_processes(2, tmp_path / "whole", whole)[0] == [0, 0]
    folder = tmp_path / "parts"
    tables = _tables(language_recipe, folder, fsdp=fsdp)

    def before(rank: int) -> None:
        step = CountingTrainer.training_step

        def dying(self, *args, **kwargs):
            if self.state.global_step == 12 and rank == killed:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(self, *args, **kwargs)

        CountingTrainer.training_step = dying

    began = time.monotonic()
    processes = begun_training(2, folder, tables, before=before)
    statuses = [ended(process) for process in processes]
    assert time.monotonic() - began < 60
    assert statuses[killed] == -signal.SIGKILL
    assert statuses[1 - killed] == 1
    said = (folder / f"said-{1 - killed}").read_text(encoding="utf-8")
    assert said.count("another process of this run has ended") == 1
    assert "--resume" in said
    assert "Traceback" not in said
    statuses, said = trained_in_processes(2, folder, tables, "--resume")
    assert statuses == [0, 0], said
    expected, found = (load_file(place / "run/model.safetensors") for place in (tmp_path / "whole", folder))
    for name, weight in expected.items():
        assert torch.equal(weight, found[name]), name


def test_sharded_weights_go_on_in_another_number_of_processes(tmp_path):
    folder = tmp_path / "run"
    tables = _tables(language_recipe, folder, fsdp=True, epochs=3)
    # Seven to an epoch of two processes.
    del tables["training"]["max_steps"]

    def stopping(at: int):
        def before(rank: int) -> None:
            step = CountingTrainer.training_step

            def stopped(self, *args, **kwargs):
                if self.state.global_step == at and rank == 0:
                    os.kill(os.getpid(), signal.SIGINT)
                return step(self, *args, **kwargs)

            CountingTrainer.training_step = stopped
            _records_losses(folder)(rank)

        return before

    for count, flags, at in ((2, (), 4), (3, ("--resume",), 8), (1, ("--resume",), 12)):
        statuses, said = trained_in_processes(count, folder, tables, *flags, before=stopping(at))
        assert statuses == [130] * count, said
        assert "".join(said).count("stopped; everything up to step") == 1
    statuses, said = trained_in_processes(2, folder, tables, "--resume", before=_records_losses(folder))
    assert statuses == [0, 0], said
    losses = _losses(folder)
    assert len(losses) == 21
    # Had it lost the optimizer's state or the weights, it would rise.
    assert all(later < earlier + 0.1 for earlier, later in itertools.pairwise(losses))
    assert not list((folder / "run").glob("checkpoints/*"))
