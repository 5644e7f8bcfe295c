"""What all tests share: one seed, and one thread, so that nothing depends on the machine."""

import os
from collections.abc import Mapping

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import pytest
import torch

from reformer.ops import gpu

from .interpreter import replace_the_language_once

if gpu.INTERPRETED and gpu.MISSING is None:
    replace_the_language_once()


@pytest.fixture(autouse=True)
def _one_seed():
    torch.manual_seed(0)
    torch.set_num_threads(int(os.environ.get("REFORMER_TEST_THREADS", "1")))


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
