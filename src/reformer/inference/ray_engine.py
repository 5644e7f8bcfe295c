"""Prediction on Ray: files are read in one place, their records answered by workers of one thread each, on one machine
or on all of a cluster, and the predictions come back in the order of the records."""

# pyright: reportMissingImports=false

import logging
import os
import secrets
import socket
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from reformer.data.errors import OnError
from reformer.data.notes import DataWarning
from reformer.data.origin import Key
from reformer.data.remote import is_url
from reformer.data.standard_input import STANDARD_INPUT
from reformer.errors import ReformerError
from reformer.inference.ray_workers import Answered, Foreman, Job, RunToRead, Worker, read
from reformer.tasks.base import Run
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.predicting import PredictingTask
from reformer.tasks.predictions import InputFile, Prediction, input_files
from reformer.wording import counted

WAITING = 2
"""Portions that a worker has at a time: the one that it answers, and the next one."""
WORKERS_TO_A_READER = 8
SECONDS_TO_ANSWER = 10.0
"""That a cluster has to take a connection."""
NODE = "ray.io/node-id"
"""Label by which Ray knows a machine."""


def check_files(files: Iterable[str]) -> None:
    """Raise `ReformerError` for what can be read once only: where a machine fails, another reads again."""
    for file in files:
        if file == STANDARD_INPUT or (not is_url(file) and os.path.exists(file) and not _is_file_or_folder(file)):
            raise ReformerError(
                f"{file}: standard input, a pipe or a device can be read once only, and with --engine ray a file may "
                "be read again; give a file"
            )


def _is_file_or_folder(path: str) -> bool:
    return os.path.isfile(path) or os.path.isdir(path)


@contextmanager
def ray_cluster(workers: int | None, cores: int) -> Iterator[int]:
    """A connection to the cluster that `RAY_ADDRESS` names or this machine is part of; where there is none, Ray on this
    machine alone, for as long as the block lasts. Gives the number of workers.

    Args:
        workers: that are wanted; None: one a core.
        cores: of this machine.

    Raises:
        ReformerError: Ray is not installed, cannot be reached, or has fewer cores than workers are wanted.
    """
    # Ray tells its makers what it is used for otherwise.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # What goes wrong is told by the command; Ray's own words would stand among the answers on standard output.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    if _cluster_address() is None:
        # Its ports are open to all who reach this machine; who does not know the token is refused.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ReformerError(
            f"--engine ray: Ray Data is not installed ({error}); pip install 'reformer-torch[ray]'"
        ) from None
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    try:
        _connect(cores)
        there = int(ray.cluster_resources().get("CPU", 0))
        if (workers or 1) > there:
            raise ReformerError(f"--workers {workers}: Ray has {counted(there, 'core')} here; give that many at most")
        yield workers or there
    finally:
        ray.shutdown()


def _cluster_address() -> str | None:
    """Where there is a cluster to connect to, as Ray finds it; asked before Ray is imported, which reads once and for
    all how it is protected."""
    given = os.environ.get("RAY_ADDRESS")
    if given:
        return None if given == "local" else given
    begun = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir(), "ray", "ray_current_cluster")
    # Of a cluster that another user of the machine has begun nothing is known.
    if not begun.exists() or begun.stat().st_uid != getattr(os, "getuid", lambda: 0)():
        return None
    return begun.read_text(encoding="utf-8", errors="replace").strip()


def _check_answers(address: str) -> None:
    """Raise `ConnectionError` where nothing listens at an address with a port: Ray would wait for it for ever."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise ConnectionError(error) from None


def _connect(cores: int) -> None:
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "critical"}
    try:
        address = _cluster_address()
        if address is not None:
            _check_answers(address)
        with _without_native_messages():
            if address is not None:
                ray.init("auto", **quiet)
            else:
                ray.init("local", num_cpus=cores, include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
    except ConnectionError as error:
        address = os.environ.get("RAY_ADDRESS") or "the cluster that was begun on this machine"
        raise ReformerError(
            f"--engine ray: {address} does not answer ({_in_short(error)}); begin it with `ray start --head`, or to "
            "use this machine alone say `ray stop` and unset RAY_ADDRESS"
        ) from None
    # Where Ray does not begin it raises exceptions of no class of its own.
    except Exception as error:
        raise ReformerError(
            f"--engine ray: Ray has not begun on this machine ({_in_short(error)}); where it is very busy, try again "
            "later, or leave --engine out"
        ) from error


@contextmanager
def _without_native_messages() -> Iterator[None]:
    """Without what native code writes to standard error, such as that its log has another level than usual."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _in_short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def predict_on_ray(
    run: Run[PredictingTask],
    files: Sequence[str],
    options: PredictOptions,
    on_error: OnError,
    after: Key | None = None,
    *,
    workers: int,
    prepare: Callable[[], object],
    on_restart: Callable[[str], object],
) -> Iterator[Prediction]:
    """The predictions of `PredictingTask.predict`, in the same order and equal to them on a CPU, by workers on Ray.

    Each prediction comes once: a portion of records whose worker has ended is given to another one, and what arrives
    is checked to be every portion of every file, one after the other.

    Args:
        after: the key of the last prediction that is known already.
        workers: how many processes answer, each with one core and one thread.
        prepare: called in each process before anything of a model is imported.
        on_restart: told in a line of each worker that has ended and was begun again.

    Raises:
        ReformerError: a worker ends again and again, or what its answer raises.
    """
    import ray
    from ray.data import ActorPoolStrategy, DataContext, TaskPoolStrategy
    from ray.exceptions import RayError

    given = [each for each in input_files(files) if after is None or each.place >= after[0]]
    if not given:
        return
    context = DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    # Each portion by itself: together they would be given to one worker.
    context.target_max_block_size = 1
    job = Job(run, options, after, os.getcwd())
    # Readers have no use for the weights.
    reading = replace(job, run=RunToRead(run.task, run.recipe))
    jobs = {"reading": [ray.put(reading)], "answering": [ray.put(job)]}
    foreman = ray.remote(num_cpus=0)(Foreman).remote(prepare, **jobs)
    # Other machines of a cluster need not have the files of this one.
    here = None if all(is_url(each.path) for each in given) else {NODE: ray.get_runtime_context().get_node_id()}
    portions = ray.data.from_items([{"file": each} for each in given], override_num_blocks=len(given))
    reading_of_a_file: Any = read
    portions = portions.map_batches(
        reading_of_a_file,
        batch_size=1,
        fn_kwargs={"foreman": foreman},
        compute=TaskPoolStrategy(size=max(1, workers // WORKERS_TO_A_READER)),
        # All cores are the workers'; without a core of its own a reader would wait for one for ever.
        num_cpus=0,
        label_selector=here,
    )
    answered = portions.map_batches(
        Worker,
        batch_size=1,
        fn_constructor_kwargs={"foreman": foreman},
        compute=ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=WAITING),
        num_cpus=1,
    )
    restarted: set[str] = set()
    try:
        for found in _all_of(given, (row["answered"] for row in answered.iter_rows())):
            if found.is_restarted and found.worker not in restarted:
                restarted.add(found.worker)
                on_restart("a worker has ended, and was begun again; what it had not answered is answered now")
            for message in found.portion.warnings:
                warnings.warn(message, DataWarning, stacklevel=2)
            for error in found.portion.errors:
                on_error(error)
            yield from found.predictions
            if found.portion.failure is not None:
                raise found.portion.failure
    except RayError as error:
        raise ReformerError(
            f"--engine ray: the workers cannot go on ({_in_short(error)}); see that each machine has this package and "
            "memory enough for its workers"
        ) from error


def _all_of(files: Sequence[InputFile], found: Iterable[Answered]) -> Iterator[Answered]:
    """What was found, checked to be every portion of every file once and in order."""
    expected = iter(files)
    file, number = next(expected, None), 0
    for each in found:
        portion = each.portion
        if file is None or (portion.place, portion.number) != (file.place, number):
            what = None if file is None else (file.place, number)
            raise RuntimeError(f"portion {(portion.place, portion.number)} has come where {what} was to come")
        yield each
        number += 1
        if portion.is_last:
            file, number = next(expected, None), 0
    if file is not None:
        raise RuntimeError(f"portion {number} of {file.path} and what is behind it have not come")
