"""What cannot fit is not begun, and the reason says by what it is known."""

import pytest

from benchmarks.foresight import carried_on, refusal
from benchmarks.worker import LIMIT, NO_MEMORY

GIGABYTE = 1 << 30


def _row(length, gigabytes=1.0, seconds=1.0, action="step", **instead):
    common = {"contender": "ours", "length": length, "action": action}
    return common | (instead or {"median_seconds": seconds, "peak_bytes": gigabytes * GIGABYTE})


@pytest.mark.parametrize(("seconds", "expected"), [((1, 4), 16), ((1, 2), 4), ((1, 1), 1), ((1, 100), 400)], ids=str)
def test_figures_are_carried_on_by_tokens_and_by_pairs_of_them(seconds, expected):
    rows = [_row(1000, seconds=seconds[0]), _row(2000, seconds=seconds[1])]
    assert carried_on(rows, "median_seconds", 4000) == pytest.approx(expected)


def test_what_does_not_fit_or_takes_too_long_is_refused():
    rows = [_row(1024, 2, 10.0)]
    assert refusal(rows, "ours", 4096, "step", 24 * GIGABYTE) is None
    reason = refusal(rows, "ours", 16384, "step", 24 * GIGABYTE)
    assert reason == "does not fit: about 32.0 GB by what 1k took, of 24.0 GB"
    assert refusal(rows, "ours", 16384, "step") is None
    reason = refusal([_row(1024, 0.001, 10.0)], "ours", 1 << 20, "step", 24 * GIGABYTE)
    assert reason == "too long: about 2.84 hours a call by what 1k took"
    assert refusal([_row(1024, 0.001, 10.0)], "ours", 1 << 20, "step", 24 * GIGABYTE, most_seconds=3 * 3600) is None


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"skipped": "does not fit"}, "does not fit"),
        ({"error": NO_MEMORY}, f"{NO_MEMORY} at 2k"),
        ({"error": f"{LIMIT} of 9 seconds"}, f"{LIMIT} of 9 seconds at 2k"),
        ({"error": "TypeError: something else"}, None),
    ],
    ids=str,
)
def test_what_was_too_much_is_not_tried_at_a_greater_length(row, reason):
    rows = [_row(2048, **row)]
    assert refusal(rows, "ours", 4096, "step") == reason
    assert refusal(rows, "ours", 512, "step") is None
    assert refusal(rows, "ours", 4096, "another action") is None
    assert refusal(rows, "another", 4096, "step") is None


def test_without_anything_measured_it_is_tried():
    assert refusal([], "ours", 1 << 30, "step", 1) is None
