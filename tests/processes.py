"""Processes that split from this one: they have imported everything already, which takes a new one seconds."""

import ctypes
import os
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jaxtyping

# Of prctl (linux/prctl.h).
_PARENT_DEATH_SIGNAL = 1


def forked(work: Callable[[], object]) -> int:
    """Do the work in a process of its own; returns its exit status, of one that a signal has ended the negative number
    of the signal."""
    return ended(_begin(work))


def in_processes(count: int, work: Callable[..., object], *arguments: object) -> None:
    """Do `work(number, *arguments)` in so many processes at once, all of which must end well. Shapes in annotations are
    not checked there."""

    def begun(number: int) -> None:
        jaxtyping.config.update("jaxtyping_disable", True)
        work(number, *arguments)

    processes = [_begin(lambda number=number: begun(number)) for number in range(count)]
    assert [ended(process) for process in processes] == [0] * count


def begun_command(*arguments: object, output: int, errors: int, before: Callable[[], object] | None = None) -> int:
    """Begin a `reformer` command in a process of its own.

    Args:
        output, errors: the files that it writes to, as the system numbers them.
        before: what to do there before.

    Returns:
        the process, for `ended`.
    """
    from reformer.cli import main

    def work() -> None:
        os.dup2(output, 1)
        os.dup2(errors, 2)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.argv = ["reformer", *map(str, arguments)]
        if before is not None:
            before()
        status: object = 0
        try:
            main()
        except SystemExit as end:
            status = end.code
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else int(status is not None))

    return _begin(work)


def begun_training(
    count: int, folder: Path, tables: dict[str, Any], *flags: str, before: Callable[[int], object] | None = None
) -> list[int]:
    """Begin `reformer train` by these tables in so many processes, as torchrun begins them; what each of them says is
    in `said-RANK` in the folder, the run in `run`.

    Args:
        before: what each of them is to do before, given its number.

    Returns:
        the processes, for `ended`.
    """
    from reformer.runs.recipe_file import write_recipe
    from reformer.tasks.recipe_checks import checked_recipe

    port = free_port()
    write_recipe(checked_recipe(tables), folder / "recipe.toml")

    def prepare(rank: int) -> None:
        told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
        told |= {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "test", "OMP_NUM_THREADS": 1}
        os.environ.update({name: str(value) for name, value in told.items()})
        if before is not None:
            before(rank)

    processes = []
    for rank in range(count):
        with open(folder / f"said-{rank}", "wb") as said:
            processes.append(
                begun_command(
                    *("train", folder / "recipe.toml", "-o", folder / "run", *flags),
                    output=said.fileno(),
                    errors=said.fileno(),
                    before=lambda rank=rank: prepare(rank),
                )
            )
    return processes


def trained_in_processes(
    count: int, folder: Path, tables: dict[str, Any], *flags: str, before: Callable[[int], object] | None = None
) -> tuple[list[int], list[str]]:
    """The exit status of each process of `begun_training`, and what it has said."""
    statuses = [ended(process) for process in begun_training(count, folder, tables, *flags, before=before)]
    return statuses, [(folder / f"said-{rank}").read_text(encoding="utf-8") for rank in range(count)]


def free_port() -> int:
    """A port of this machine that no program listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _begin(work: Callable[[], object]) -> int:
    with warnings.catch_warnings():
        # Other threads are not in the new process; with one thread to compute with, it needs none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process == 0:
        if sys.platform == "linux":
            # Should the tests be ended, by their time limit for one, this process is not left behind.
            ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return process


def ended(process: int) -> int:
    """Wait for a process to end; its exit status as of `forked`."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
