"""Threads for parts of a batch: what is split, how gradients are added up, errors, and whole runs."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.batch_parts import PartThreads
from reformer.training.train import InterruptedRunError, train
from tests.tiny import MODEL, ner_recipe, series_recipe, write_questions

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def threads():
    found = PartThreads(2)
    yield found
    found.close()


def test_a_batch_is_split_by_its_rows(threads):
    batch = {"input_ids": torch.arange(10).view(5, 2), "labels": torch.arange(5)}
    first, second = threads.split(batch)
    assert first["input_ids"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert second["labels"].tolist() == [3, 4]


@pytest.mark.parametrize(
    "batch",
    [
        {"labels": torch.arange(1)},
        {"labels": torch.arange(4), "input_ids": torch.zeros(3, 2)},
        {"labels": torch.arange(4), "number": torch.tensor(4)},
        {"labels": torch.arange(4), "names": ["a", "b", "c", "d"]},
        {"labels": torch.arange(0)},
    ],
)
def test_what_has_no_rows_for_each_sequence_stays_whole(threads, batch):
    assert [part.keys() for part in threads.split(batch)] == [batch.keys()]


def test_gradients_are_added_to_those_that_are_there(threads):
    model = torch.nn.Linear(2, 1, bias=False)
    model.weight.grad = torch.ones(1, 2)
    parts = [{"x": torch.tensor([[1.0, 2.0]])}, {"x": torch.tensor([[10.0, 20.0]])}]
    found = threads.backward(model, parts, lambda model, part: model(part["x"]).sum(), nullcontext)
    assert model.weight.grad.tolist() == [[12.0, 23.0]]
    assert not found.requires_grad


def test_the_number_of_threads_is_afterwards_what_it_was(threads):
    torch.set_num_threads(2)
    seen = []

    def loss(model, part):
        seen.append(torch.get_num_threads())
        return model(part["x"]).sum()

    threads.backward(torch.nn.Linear(2, 1), [{"x": torch.ones(1, 2)}] * 2, loss, nullcontext)
    assert seen == [1, 1]
    assert torch.get_num_threads() == 2


def test_with_fewer_parts_than_threads_each_has_several():
    threads, seen = PartThreads(5), []

    def loss(model, part):
        seen.append(torch.get_num_threads())
        return model(part["x"]).sum()

    threads.backward(torch.nn.Linear(2, 1), [{"x": torch.ones(1, 2)}] * 2, loss, nullcontext)
    threads.close()
    assert seen == [2, 2]


def test_an_error_in_a_part_is_the_steps(threads):
    def loss(model, part):
        raise MemoryError("of a part")

    with pytest.raises(MemoryError, match="of a part"):
        threads.backward(torch.nn.Linear(2, 1), [{}, {}], loss, nullcontext)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_two_threads_train_alike_each_time_and_also_resumed(tmp_path, precision, interrupt_at, monkeypatch):
    options = {"num_threads": 2, "max_steps": 6, "precision": precision, "batch_tokens": 512}
    recipe = checked_recipe(ner_recipe(tmp_path, **options))
    used = []
    backward = PartThreads.backward
    monkeypatch.setattr(PartThreads, "backward", lambda *given: used.append(len(given[2])) or backward(*given))
    train(recipe, tmp_path / "a", console=QUIET)
    assert set(used) == {2}
    train(recipe, tmp_path / "b", console=QUIET)
    with monkeypatch.context():
        interrupt_at(3)
        with pytest.raises(InterruptedRunError):
            train(recipe, tmp_path / "c", console=QUIET)
    monkeypatch.undo()
    train(recipe, tmp_path / "c", resume=True, console=QUIET)
    for other in ("b", "c"):
        assert all(torch.equal(each, weights(tmp_path / other)[name]) for name, each in weights(tmp_path / "a").items())


def questions_recipe(folder, **training):
    data = {name: str(write_questions(folder / f"{name}.jsonl", 40)) for name in ("train", "validation")}
    return {
        "data": data,
        "model": dict(MODEL),
        "training": {
            "task": "question-answering",
            "batch_tokens": 512,
            "num_evaluations": 1,
            "device": "cpu",
            **training,
        },
    }


@pytest.mark.parametrize("recipe_of", [series_recipe, questions_recipe])
def test_losses_that_the_model_counts_are_shared_out_too(tmp_path, recipe_of, monkeypatch):
    recipe = checked_recipe(recipe_of(tmp_path, num_threads=2, max_steps=2, precision="float32"))
    used = []
    backward = PartThreads.backward
    monkeypatch.setattr(PartThreads, "backward", lambda *given: used.append(len(given[2])) or backward(*given))
    train(recipe, tmp_path / "run", console=QUIET)
    assert set(used) == {2}
