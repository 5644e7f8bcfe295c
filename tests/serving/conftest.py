"""Runs of every task that answers, and a server of all of them."""

from contextlib import contextmanager

import pytest
from rich.console import Console
from starlette.testclient import TestClient

from reformer.serving.app import make_app
from reformer.serving.engine import Engine
from reformer.serving.guard import Metrics
from reformer.serving.served_run import load_runs
from reformer.serving.spool import Spool
from reformer.serving.uploads import Limits
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from tests.serving.inputs import INPUTS, recipes


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Runs in `runs/`, and beside them a file to predict for of each."""
    return train_runs(tmp_path_factory.mktemp("served"))


def train_runs(folder, *names):
    """Runs of these names, of all where none is given; gives the folder."""
    for name, tables in recipes(folder).items():
        if names and name not in names:
            continue
        train(checked_recipe(tables), folder / "runs" / name, console=Console(quiet=True))
        if name in INPUTS:
            INPUTS[name](folder)
    return folder


@contextmanager
def served(runs, *, waiting=1024, body=1 << 20, seconds=60.0, token=None):
    """A client of a server of these runs."""
    metrics = Metrics()
    names = iter([run.name for run in runs])
    found = load_runs(runs, lambda tokens: Engine(tokens, waiting, metrics.on_batch(next(names))))
    with Spool() as spool, TestClient(make_app(found, Limits(body, seconds), metrics, spool, token)) as client:
        client.engines = {name: run.engine for name, run in found.items()}
        yield client


@pytest.fixture(scope="session")
def client(folder):
    with served(sorted((folder / "runs").iterdir())) as client:
        yield client
