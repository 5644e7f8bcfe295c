"""Processes that split from this one: they have imported everything already, which takes a new one seconds."""

import os
import sys
import traceback
import warnings
from collections.abc import Callable

import jaxtyping


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


def _begin(work: Callable[[], object]) -> int:
    with warnings.catch_warnings():
        # Other threads are not in the new process; with one thread to compute with, it needs none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process == 0:
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
