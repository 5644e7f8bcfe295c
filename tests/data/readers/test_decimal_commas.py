"""Decimal commas: told by the cells of a table with semicolons, else by the recipe, and never mixed with points."""

import numpy as np
import pytest

from reformer.data import DataError
from reformer.data.readers import SeriesOptions, read_panel


def _read(path, text, **options):
    path.write_text(text, encoding="utf-8")
    [series] = read_panel(path, SeriesOptions(**options))
    return series


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["10,5", "11", "-0,25"], [10.5, 11, -0.25]),
        (["1.234,5", "1.234", "1.234.567,25"], [1234.5, 1234, 1234567.25]),
        (["10,476", "NA", "1,5e3"], [10.476, np.nan, 1500]),
        (["10", "", "11,3"], [10, np.nan, 11.3]),
        (["1.5", "2.25", "3"], [1.5, 2.25, 3]),
        (["1.250", "2.500", "3.125"], [1.25, 2.5, 3.125]),
    ],
)
def test_a_table_with_semicolons_tells_by_its_cells(tmp_path, cells, numbers):
    rows = [f"{day:02d}.01.2024;{cell}" for day, cell in enumerate(cells, 13)]
    series = _read(tmp_path / "a.csv", "when;load\n" + "\n".join(rows) + "\n")
    assert series.values[:, 0] == pytest.approx(numbers, nan_ok=True)
    assert any("decimal commas" in note for note in series.notes) == any("," in cell for cell in cells)


def test_each_column_tells_for_itself_and_a_bad_cell_is_named(tmp_path):
    text = "when;a;b\n2024-01-01;1,5;2.5\n2024-01-02;2,5;3.5\n"
    assert _read(tmp_path / "a.csv", text).values.tolist() == [[1.5, 2.5], [2.5, 3.5]]
    with pytest.raises(DataError, match=r"a\.csv:3: 'much' in the column 'a' is no number"):
        _read(tmp_path / "a.csv", text.replace("2,5;3.5", "much;3.5"))
    with pytest.raises(DataError, match=r"a\.csv:3: '2\.5' in the column 'a' has a decimal point"):
        _read(tmp_path / "a.csv", text.replace("2,5;3.5", "2.5;3.5"))


def test_where_commas_separate_the_recipe_says_so(tmp_path):
    text = 'when,load\n2024-01-01,"1,5"\n2024-01-02,"2,25"\n'
    with pytest.raises(DataError, match="no column but the date's begins with a number"):
        _read(tmp_path / "a.csv", text)
    assert _read(tmp_path / "a.csv", text, decimal=",").values[:, 0].tolist() == [1.5, 2.25]
    with pytest.raises(DataError, match="no column but the date's begins with a number"):
        _read(tmp_path / "b.csv", "when;load\n2024-01-01;1,5\n2024-01-02;2,25\n", decimal=".")
