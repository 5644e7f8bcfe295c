"""The last line of a run of the tests."""

import pytest

from .conftest import closing_line


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ({"passed": 3, "skipped": 1, "": 8}, "3 passed, 0 failed, 1 skipped"),
        ({"passed": 3, "failed": 2, "error": 1}, "3 passed, 3 failed, 0 skipped"),
        ({}, "0 passed, 0 failed, 0 skipped"),
    ],
)
def test_it_counts_what_passed_failed_and_was_skipped(counts, line):
    assert closing_line(counts) == line
