"""What all tests share: one seed, and one thread, so that nothing depends on the machine; and which check shapes.

To check the shapes in annotations takes half of a small model's time. Of each test of what is annotated every value of
every parameter is tried with them checked, and not every combination of values.
"""

import gc
import os
import sys
from collections.abc import Hashable, Iterable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import hypothesis
import jaxtyping
import pytest
import torch

from reformer.files import write
from reformer.ops import gpu

from .interpreter import replace_the_language_once

# The same examples in every run, so that a change decides whether a test fails, and not chance; `make test-fuzz` looks
# for others.
hypothesis.settings.register_profile("fixed", derandomize=True)
hypothesis.settings.load_profile("fixed")

if gpu.INTERPRETED and gpu.MISSING is None:
    replace_the_language_once()


THREADS = int(os.environ.get("REFORMER_TEST_THREADS", "1"))
# What several tests share is made before the first of them begins.
torch.set_num_threads(THREADS)


@pytest.fixture(autouse=True)
def _one_seed():
    torch.manual_seed(0)
    torch.set_num_threads(THREADS)


UNCHECKED = pytest.StashKey[bool]()

ABOVE = ("advice", "benchmarks", "cli", "data", "faults", "guides", "insight", "report", "runs", "training")
"""Where no shapes are checked: what these tests are about has none, and calls what has them as the tests of the tasks
do, which train and predict with every shape checked."""


# After tests that were not asked for have left: the first of the others are checked.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    calls = [
        ((item.path, item.parent.name, item.name.partition("[")[0]), item.callspec.params)
        if hasattr(item, "callspec") and item.get_closest_marker("shapes") is None
        else (item.nodeid, {})
        for item in items
    ]
    here = Path(__file__).parent
    above = tuple(str(here / each) + os.sep for each in ABOVE)
    for item, is_repeated in zip(items, repeated(calls), strict=True):
        item.stash[UNCHECKED] = is_repeated or str(item.path).startswith(above)


def repeated(calls: Iterable[tuple[Hashable, Mapping[str, object]]]) -> Iterator[bool]:
    """Of each call of a test with its parameters: whether every value was in an earlier call."""
    seen = set()
    for test, parameters in calls:
        # All combinations have the same objects, which need not be hashable.
        values = {(test, name, id(value)) for name, value in parameters.items()}
        yield bool(values) and values <= seen
        seen |= values


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    # Before what is shared with later tests is made, for which a fixture would come too late.
    jaxtyping.config.update("jaxtyping_disable", item.stash.get(UNCHECKED, False))
    training = sys.modules.get("reformer.training.train")
    if training is not None:
        training.plot_learning_curve = partial(_draw_once, item.path)


@cache
def _drawn(path: Path) -> list[bytes]:
    """The picture of the file's first run, if there was one."""
    return []


def _draw_once(test_file, history, metric, path, **options):
    """The picture takes a quarter of the time of a tiny run: a file's later runs have the picture of its first one."""
    drawn = _drawn(test_file)
    if not drawn:
        from reformer.training.learning_curve import plot_learning_curve

        plot_learning_curve(history, metric, path, **options)
        drawn.append(path.read_bytes())
    write(path, drawn[0])


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What is imported and collected stays until the end: no collection of garbage, of which each training asks for
    some, has to go through it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session):
    result = yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not hasattr(session.config, "workerinput"):
        # The last line of all: pytest's own leaves out what is zero, and ends with the time.
        reporter.write_line(closing_line({outcome: len(reports) for outcome, reports in reporter.stats.items()}))
    return result


def closing_line(counts: Mapping[str, int]) -> str:
    failed = counts.get("failed", 0) + counts.get("error", 0)
    return f"{counts.get('passed', 0)} passed, {failed} failed, {counts.get('skipped', 0)} skipped"
