"""The table of plans says how far off they were, and its cases are as many and as different as it promises."""

from benchmarks.plan_tables import table
from benchmarks.plans import CASES, LENGTHS, TASKS


def test_the_table_says_how_far_off_plans_were():
    rows = [
        {"case": "a", "planned_bytes": 110e6, "bytes": 100_000_000, "planned_seconds": 9.0, "seconds": 10.0},
        {"case": "b", "planned_bytes": 100e6, "bytes": 100_000_000, "planned_seconds": 14.0, "seconds": 10.0},
        {"case": "c", "error": "training: ended with -9"},
    ]
    found = table(rows)
    assert "+10 %" in found
    assert "-10 %" in found
    assert "training: ended with -9" in found
    assert "memory: within 5 % at the median, 10 % at worst, of 2 runs" in found
    assert "time: within 25 % at the median, 40 % at worst, of 2 runs" in found


def test_each_task_is_planned_at_each_length_in_both_precisions_and_kinds():
    assert len(CASES) == len({case.name for case in CASES}) >= 24
    assert {(case.task, case.length) for case in CASES} >= {(task, length) for task in TASKS for length in LENGTHS}
    for length in LENGTHS:
        assert {case.precision for case in CASES if case.length == length} == {"float32", "bfloat16"}
        assert {case.reversible for case in CASES if case.length == length} == {True, False}
