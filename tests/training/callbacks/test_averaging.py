"""The average follows the weights, is what is measured, and what is kept."""

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from reformer.errors import ReformerError
from reformer.models.alignment import ALIGNMENT
from reformer.training.callbacks.averaging import AVERAGE, WeightAverage


def _step(average: WeightAverage, number: int, **state: Any) -> None:
    average.on_step_end(*_arguments(global_step=number, **state))


def _arguments(folder: Any = None, **state: Any) -> tuple[Any, Any, Any]:
    return SimpleNamespace(output_dir=folder, should_save=True), SimpleNamespace(**state), None


def test_it_is_the_mean_that_its_equation_says():
    model = nn.Linear(3, 2)
    average = WeightAverage(model, 0.75)
    average.on_train_begin(*_arguments())
    expected = model.weight.detach().clone()
    for step in range(1, 40):
        with torch.no_grad():
            model.weight.normal_()
        _step(average, step)
        kept = min(0.75, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * model.weight
    trained = model.weight.detach().clone()
    with average.in_place():
        assert torch.allclose(model.weight, expected, atol=1e-6)
    assert torch.equal(model.weight, trained)


def test_a_failure_while_measuring_leaves_the_weights_as_they_were():
    model = nn.Linear(3, 2)
    average = WeightAverage(model, 0.5)
    average.on_train_begin(*_arguments())
    with torch.no_grad():
        model.weight.zero_()
    with suppress(RuntimeError), average.in_place():
        assert model.weight.any()
        raise RuntimeError
    assert not model.weight.any()


def test_the_best_checkpoints_average_is_what_stays(tmp_path):
    model = nn.Linear(3, 2)
    average = WeightAverage(model, 0.5)
    average.on_train_begin(*_arguments())
    (tmp_path / "checkpoint-1").mkdir()
    first = model.weight.detach().clone()
    average.save(tmp_path / "checkpoint-1")
    with torch.no_grad():
        model.weight.zero_()
    _step(average, 2)
    average.on_train_end(*_arguments(best_model_checkpoint=str(tmp_path / "checkpoint-1")))
    assert torch.equal(model.weight, first)


def test_a_checkpoint_without_an_average_is_one_message(tmp_path):
    average = WeightAverage(nn.Linear(3, 2), 0.5, str(tmp_path))
    with pytest.raises(ReformerError, match=r"average\.safetensors: there is no such file; start the run again"):
        average.on_train_begin(*_arguments())


def test_a_resumed_average_is_aligned(tmp_path):
    save_file({"weight": torch.ones(2, 3), "bias": torch.ones(2)}, tmp_path / AVERAGE)
    assert any(weight.data_ptr() % ALIGNMENT for weight in load_file(tmp_path / AVERAGE).values())
    model = nn.Linear(3, 2)
    average = WeightAverage(model, 0.5, str(tmp_path))
    average.on_train_begin(*_arguments())
    assert all(weight.data_ptr() % ALIGNMENT == 0 for weight in average._average.values())
