"""Tables and pictures say what the results say, and the page shows the results that are here."""

import pytest

from benchmarks import markdown, plots, report, table


def _row(contender, family, length, seconds, action="forward", rounds=1, **facts):
    return {
        "contender": contender,
        "family": family,
        "rounds": rounds,
        "dtype": "float32",
        "length": length,
        "action": action,
        "median_seconds": seconds,
        "seconds": [seconds],
        "cpu_seconds": seconds,
        "turns": 3,
        "calls": 3,
        "warm": True,
        "peak_bytes": 3 << 30,
        "facts": facts,
    }


def _result(rows, case="crossover", actions=("forward",)):
    contracts = dict.fromkeys((row["contender"] for row in rows), "seen")
    return {"case": case, "question": "?", "actions": list(actions), "rows": rows, "contracts": contracts}


@pytest.fixture
def crossing():
    full = [_row("full attention", "full", length, seconds) for length, seconds in ((128, 1), (256, 4), (512, 16))]
    for row in full:
        del row["rounds"]
    ours = [_row("ours", "ours", length, seconds) for length, seconds in ((128, 2), (256, 4), (512, 8))]
    return _result([*full, *ours])


def test_the_crossing_is_where_ours_is_faster_from_there_on(crossing):
    assert markdown.faster_from(crossing["rows"], "ours") == 512
    assert "ours: faster than full attention from 512 tokens on." in markdown.crossover(crossing)


def test_ratios_are_theirs_over_ours_at_equal_rounds():
    rows = [
        _row("ours", "ours", 1024, 2.0),
        _row("ours, 4 rounds", "ours", 1024, 4.0, rounds=4),
        _row("transformers", "transformers", 1024, 20.0),
        _row("transformers, 4 rounds", "transformers", 1024, 80.0, rounds=4),
    ]
    text = markdown.ratios(rows)
    assert "| transformers / ours | 10.0x |" in text
    assert "| transformers, 4 rounds / ours, 4 rounds | 20.0x |" in text
    assert "transformers / ours, 4 rounds" not in text


def test_shares_of_the_peak_are_those_of_the_best_product():
    rows = [
        _row("ours", "ours", 4096, 2.0, "attend", flops=4e9, pair_flops=1e9),
        _row("torch.mm float32", "machine", 4096, 1.0, "product", flops=8e9),
        _row("torch.bmm float32, 16 tiles", "machine", 4096, 1.0, "product", flops=4e9),
        _row("torch.bmm float32, 256 tiles", "machine", 4096, 1.0, "product", flops=1e9),
    ]
    text = markdown.rates(_result(rows, "hashing", ("attend", "product")))
    assert "| ours: attend | 4k | 2 | 0 | 50% | 25% |" in text


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.0000123, "12.3 us"), (0.00123, "1.23 ms"), (0.123, "123 ms"), (12.3, "12.3 s")]
)
def test_durations_have_three_digits(seconds, told):
    assert table.duration(seconds) == told


def test_a_place_without_results_says_how_to_get_them(tmp_path):
    page = "before\n<!-- table: crf -->\nold\n<!-- end -->\nafter"
    filled = report.fill(page, tmp_path)
    assert "python -m benchmarks.run crf" in filled
    assert "old" not in filled
    assert filled.startswith("before\n")
    assert report.fill(filled, tmp_path) == filled


def test_the_page_shows_the_results_that_are_here():
    assert report.main(["--check"]) == 0


def test_a_picture_is_the_same_each_time(crossing, tmp_path):
    [first] = plots.draw(crossing, tmp_path)
    content = first.read_bytes()
    [again] = plots.draw(crossing, tmp_path)
    assert again.read_bytes() == content


def test_a_case_without_a_picture_has_none(tmp_path):
    assert plots.draw(_result([], "crf"), tmp_path) == []
