"""What cannot fit is not begun, and the reason says by what it is known."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from benchmarks import memory, run
from benchmarks.case import Case, Contender
from benchmarks.foresight import carried_on, refusal

GIGABYTE = 1 << 30


def _row(length, gigabytes, seconds):
    return {
        "contender": "ours",
        "length": length,
        "action": "step",
        "median_seconds": seconds,
        "peak_bytes": gigabytes * GIGABYTE,
    }


@pytest.fixture
def contender():
    return Contender("ours", "ours", lambda length: {}, str)


@pytest.mark.parametrize(("seconds", "expected"), [((1, 4), 16), ((1, 2), 4), ((1, 1), 2), ((1, 100), 400)], ids=str)
def test_figures_are_carried_on_between_the_first_and_the_second_power(seconds, expected):
    rows = [_row(1000, 1, seconds[0]), _row(2000, 1, seconds[1])]
    assert carried_on(rows, "median_seconds", 4000) == pytest.approx(expected)


def test_what_does_not_fit_or_takes_too_long_is_refused(contender):
    rows = [_row(1024, 2, 10.0)]
    assert refusal(rows, contender, 4096, ["step"], 24 * GIGABYTE) is None
    reason = refusal(rows, contender, 16384, ["step"], 24 * GIGABYTE)
    assert reason == "does not fit: about 32.0 GB by what 1k took, of 24.0 GB"
    assert refusal(rows, contender, 16384, ["step"], None) is None
    reason = refusal([_row(1024, 0.001, 10.0)], contender, 1 << 20, ["step"], 24 * GIGABYTE)
    assert reason == "too long: about 2.84 hours a call by what 1k took"


def test_what_was_left_out_stays_out_and_says_the_same(contender):
    rows = [_row(1024, 2, 10.0), {"contender": "ours", "length": 2048, "action": "step", "skipped": "does not fit"}]
    assert refusal(rows, contender, 4096, ["step"], None) == "does not fit"
    assert refusal(rows, contender, 512, ["step"], None) is None


def test_without_anything_measured_it_is_tried(contender):
    assert refusal([], contender, 1 << 30, ["step"], 1) is None


@pytest.mark.parametrize("grows", [True, False])
def test_where_more_of_the_axis_takes_no_more_nothing_is_foreseen(contender, monkeypatch, grows):
    monkeypatch.setattr(memory, "most", lambda: 24 * GIGABYTE)
    case = Case("pieces", "?", [contender], ["step"], [1, 1 << 14], [1], apart=True, grows=grows)
    measured: list[int] = []
    workshop: Any = SimpleNamespace(measure=lambda case, contenders, length, effort: measured.append(length) or [])
    file: Any = SimpleNamespace(result={"rows": [_row(1, 1, 1.0)]}, add=lambda row: None)
    effort: Any = None
    monkeypatch.setattr(run, "_left", lambda *_: [])
    run._measure_together(case, [contender], 1 << 14, effort, workshop, file, Console(file=io.StringIO()))
    assert measured == ([] if grows else [1 << 14])
