"""A run and a text for the tests of inference."""

import pytest

from reformer.data import byte_tokenizer
from tests.inference.untrained import untrained_run
from tests.tiny import write_text


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("REFORMER_CACHE", str(tmp_path / "cache"))
    return untrained_run(tmp_path, byte_tokenizer())


@pytest.fixture
def file(tmp_path):
    return str(write_text(tmp_path / "a.txt", 300))
