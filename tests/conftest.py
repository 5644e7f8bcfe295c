"""What all tests share: one seed, and one thread, so that nothing depends on the machine."""

import os

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
