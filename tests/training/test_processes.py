"""Processes that cannot run a recipe, or do not meet, are told in one message, which one of them says."""

import os
import socket
from typing import Any

import pytest
from torch import distributed

from reformer.tasks.recipe_checks import checked_recipe
from reformer.training import processes
from reformer.training.processes import LostProcessError, ProcessesError, check_processes, connected, is_lost
from tests.processes import free_port
from tests.tiny import language_recipe, ner_recipe, pairs_recipe


@pytest.fixture
def told(monkeypatch):
    """What torchrun tells a process of two, the first one unless said otherwise."""

    def tell(**others: object) -> None:
        usual = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
        for name, value in (usual | others).items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, str(value))
        monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
        monkeypatch.setattr(processes, "SECONDS_TO_MEET", 0.5)

    return tell


def test_a_process_that_is_not_told_its_number_is_refused(told, tmp_path):
    told(RANK=None, MASTER_PORT=None)
    with pytest.raises(ProcessesError, match=r"WORLD_SIZE = 2 without RANK, MASTER_PORT: .*begin with torchrun"):
        check_processes(checked_recipe(language_recipe(tmp_path)))


def test_a_missing_backend_is_refused(told, tmp_path, monkeypatch):
    told()
    monkeypatch.setattr(distributed, "is_backend_available", lambda name: False)
    with pytest.raises(ProcessesError, match=r"2 processes: this PyTorch .* cannot connect them, having no gloo"):
        check_processes(checked_recipe(language_recipe(tmp_path)))


@pytest.mark.parametrize(
    ("tables", "training", "finetune", "words"),
    [
        (ner_recipe, {"ema_decay": 0.9}, {}, "training.fsdp with training.ema_decay"),
        (ner_recipe, {"head_lasso": 1.0, "layer_lasso": 1.0}, {}, "training.head_lasso, training.layer_lasso"),
        (ner_recipe, {}, {"start_from": "x", "freeze": "auto"}, 'finetune.freeze = "auto"'),
        (pairs_recipe, {}, {}, "training.fsdp for text-to-text, whose evaluation generates"),
    ],
)
def test_what_shards_cannot_have_is_refused(tables, training, finetune, words, tmp_path):
    recipe: dict[str, Any] = tables(tmp_path, fsdp=True, **training)
    recipe["finetune"] = finetune
    with pytest.raises(ProcessesError) as refused:
        check_processes(checked_recipe(recipe))
    assert words in str(refused.value)


def _connect(recipe: Any, folder: Any) -> ProcessesError:
    with pytest.raises(ProcessesError) as refused, connected(recipe, folder):
        raise AssertionError("the processes cannot have met")
    return refused.value


def test_a_port_in_use_is_said_by_the_first_process(told, tmp_path):
    recipe = checked_recipe(language_recipe(tmp_path))
    with socket.socket() as others:
        others.bind(("127.0.0.1", 0))
        others.listen()
        told(MASTER_PORT=others.getsockname()[1])
        refused = _connect(recipe, tmp_path)
    assert f"MASTER_PORT = {os.environ['MASTER_PORT']}: another program uses this port; give a free one" in str(refused)
    assert refused.said_by == 0


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_that_do_not_come_are_said_once(rank, told, tmp_path):
    told(RANK=rank)
    refused = _connect(checked_recipe(language_recipe(tmp_path)), tmp_path)
    assert "2 processes were to meet here within 0 s, and did not" in str(refused)
    # Where the first one has not come, the second says so.
    assert refused.said_by == rank


def test_one_process_is_not_connected(tmp_path, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with connected(checked_recipe(language_recipe(tmp_path)), tmp_path):
        assert not distributed.is_initialized()


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:61"), True),
        (distributed.DistNetworkError("Connection reset by peer"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ProcessesError("gloo"), False),
        (LostProcessError("gloo"), False),
    ],
)
def test_errors_that_say_that_another_process_is_gone(error, lost):
    assert is_lost(error) == lost
