"""What all tests share: one seed, and one thread, so that nothing depends on the machine; and which check shapes.

To check the shapes in annotations takes half of a small model's time. Of each test every value of every parameter is
tried with them checked, and not every combination of values.
"""

import os
from collections.abc import Hashable, Iterable, Iterator, Mapping

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import hypothesis
import jaxtyping
import pytest
import torch

from reformer.ops import gpu

from .interpreter import replace_the_language_once

# The same examples in every run, so that a change decides whether a test fails, and not chance; `make test-fuzz` looks
# for others.
hypothesis.settings.register_profile("fixed", derandomize=True)
hypothesis.settings.load_profile("fixed")

if gpu.INTERPRETED and gpu.MISSING is None:
    replace_the_language_once()


@pytest.fixture(autouse=True)
def _one_seed():
    torch.manual_seed(0)
    torch.set_num_threads(int(os.environ.get("REFORMER_TEST_THREADS", "1")))


REPEATED = pytest.StashKey[bool]()


# After tests that were not asked for have left: the first of the others are checked.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    calls = [
        ((item.path, item.parent.name, item.name.partition("[")[0]), item.callspec.params)
        if hasattr(item, "callspec") and item.get_closest_marker("shapes") is None
        else (item.nodeid, {})
        for item in items
    ]
    for item, is_repeated in zip(items, repeated(calls), strict=True):
        item.stash[REPEATED] = is_repeated


def repeated(calls: Iterable[tuple[Hashable, Mapping[str, object]]]) -> Iterator[bool]:
    """Of each call of a test with its parameters: whether every value was in an earlier call."""
    seen = set()
    for test, parameters in calls:
        # All combinations have the same objects, which need not be hashable.
        values = {(test, name, id(value)) for name, value in parameters.items()}
        yield bool(values) and values <= seen
        seen |= values


@pytest.fixture(autouse=True)
def _shapes(request):
    jaxtyping.config.update("jaxtyping_disable", request.node.stash.get(REPEATED, False))
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


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
