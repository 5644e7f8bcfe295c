"""Processes of a run, as `torchrun` begins them: checked, connected, and ended together."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed
from torch.distributed.rendezvous import rendezvous
from transformers import Trainer

from reformer.errors import ReformerError
from reformer.recipe import Recipe
from reformer.tasks.registry import TASKS

SECONDS_TO_MEET = 300.0
"""How long a process waits for the others of a run to begin."""
SECONDS_TO_ANSWER = 1800.0
"""How long a process waits for another one to come to the same place in the run."""
_TOLD = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class ProcessesError(ReformerError):
    """The processes that were begun cannot run the recipe; each of them finds the same, and the first one says it.

    Args:
        said_by: the number of the process that says it.
    """

    on_every_process = True

    def __init__(self, message: str, said_by: int = 0) -> None:
        super().__init__(message)
        self.said_by = said_by


class LostProcessError(ReformerError):
    """Another process of the run has ended."""


def process_count() -> int:
    """How many processes `torchrun`, or what sets the same variables, has begun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def check_processes(recipe: Recipe) -> None:
    """Refuse processes that cannot run the recipe, before they are connected.

    Raises:
        ProcessesError: their number is no multiple of `training.sequence_parallel`; PyTorch cannot connect them; or the
            recipe asks for what sharded weights cannot have.
    """
    asked, begun = recipe.training.sequence_parallel, process_count()
    if begun % asked:
        raise ProcessesError(
            f"training.sequence_parallel = {asked} in {begun} process{'es' * (begun > 1)}: expected a multiple of it; "
            f"begin with torchrun --nproc-per-node {asked} -m reformer train ..., or leave it out"
        )
    if recipe.training.fsdp:
        _check_sharding(recipe)
    if begun == 1:
        return
    missing = [name for name in _TOLD if name not in os.environ]
    if missing:
        raise ProcessesError(
            f"WORLD_SIZE = {begun} without {', '.join(missing)}: a process must know its number and where the first "
            "one is; begin with torchrun, which says so"
        )
    backend = _backend(recipe)
    if not (distributed.is_available() and distributed.is_backend_available(backend)):
        raise ProcessesError(
            f"{begun} processes: this PyTorch ({torch.__version__}) cannot connect them, having no {backend}; install "
            'one that has it, run one process, or for gloo in place of nccl set training.device = "cpu"'
        )


def _check_sharding(recipe: Recipe) -> None:
    chosen = recipe.training
    others = {
        "training.head_lasso": chosen.head_lasso is not None,
        "training.layer_lasso": chosen.layer_lasso is not None,
        "training.ema_decay": chosen.ema_decay is not None,
        'finetune.freeze = "auto"': recipe.finetune.freeze == "auto",
    }
    found = [name for name, is_set in others.items() if is_set]
    if found:
        raise ProcessesError(f"training.fsdp with {', '.join(found)}, which needs whole weights; leave out one of them")
    if TASKS[chosen.task].generates:
        raise ProcessesError(
            f"training.fsdp for {chosen.task}, whose evaluation generates texts of other lengths on each process, so "
            "that these would call the model equally often no more; leave it out"
        )
    if process_count() > 1 and not hasattr(Trainer, "_defer_fsdp_gradient_reduction"):
        raise ProcessesError("training.fsdp needs transformers 5.23; pip install 'transformers>=5.23', or leave it out")


def _backend(recipe: Recipe) -> str:
    on_cpu = recipe.training.device == "cpu" or not torch.accelerator.is_available()
    device = None if on_cpu else torch.accelerator.current_accelerator()
    return "gloo" if device is None else distributed.get_default_backend_for_device(device)


@contextmanager
def connected(recipe: Recipe, folder: Path) -> Iterator[None]:
    """Processes of a run that are connected, as a context; with one process nothing is done.

    Where one of them ends in it with an error, the first that does so says why, and those that wait for it in vain end
    with an error that is `silent`.

    Raises:
        ProcessesError: they do not meet.
        LostProcessError: another process has ended.
    """
    if process_count() == 1:
        yield
        return
    if not distributed.is_initialized():
        _connect(_backend(recipe))
    try:
        yield
    except ProcessesError:
        # Found on every process, and known which one says it.
        raise
    except Exception as error:
        is_first = _is_first_to_end()
        if is_lost(error):
            error = LostProcessError(
                f"{folder}: another process of this run has ended, so this one cannot go on; what was saved is kept: "
                "go on with `reformer train RECIPE --resume`, the same --output and --set"
            )
        error.silent = not is_first  # pyright: ignore[reportAttributeAccessIssue]
        raise error


def _connect(backend: str) -> None:
    rank, count, port = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
    place = f"{os.environ['MASTER_ADDR']}:{port}"
    if backend != "gloo":
        torch.accelerator.set_device_index(int(os.environ["LOCAL_RANK"]) % torch.accelerator.device_count())
    try:
        limit = timedelta(seconds=SECONDS_TO_MEET)
        store, _, _ = next(rendezvous("env://", rank, count, timeout=limit))
        # Also where torchrun has begun the store, which it shares with no one else.
        names = [f"reformer/{number}" for number in range(count)]
        store.set(names[rank], "here")
        store.wait(names, limit)
    except distributed.DistError as error:
        reason = str(error).strip().splitlines()[0]
        if rank == 0 and "EADDRINUSE" in str(error):
            raise ProcessesError(
                f"MASTER_PORT = {port}: another program uses this port; give a free one, such as torchrun "
                "--master-port 29501, or with one machine torchrun --standalone"
            ) from error
        raise ProcessesError(
            f"{place}: {count} processes were to meet here within {SECONDS_TO_MEET:.0f} s, and did not ({reason}); "
            "check that as many are begun as WORLD_SIZE says, each with a RANK of its own, and that all can reach this "
            "address",
            said_by=min(rank, 1),
        ) from error
    limit = timedelta(seconds=SECONDS_TO_ANSWER)
    distributed.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=limit)


def is_lost(error: BaseException) -> bool:
    """Whether an error says that another process does not answer."""
    if isinstance(error, ReformerError):
        return False
    # What gloo raises has no class of its own.
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _is_first_to_end() -> bool:
    """Whether no other process of the run has ended with an error before."""
    try:
        # What the processes have met by; torchrun keeps it when one of them dies. There is no public name for it.
        store = distributed.distributed_c10d._get_default_store()
        return store.add("reformer/ended", 1) == 1
    except RuntimeError:
        # It was the first process that had it, and that has died.
        return os.environ["RANK"] == "1"
