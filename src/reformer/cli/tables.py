"""Tables of metrics in a terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def table_of(title: str, rows: Sequence[Mapping[str, Any]]) -> "Table":
    """Rows with the same keys as a table for the terminal."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for place, name in enumerate(rows[0] if rows else ()):
        # A narrow terminal breaks numbers in two rather than cutting their ends off.
        table.add_column(name, justify="right" if place else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    return table


def _cell(value: str | float | None) -> str:
    """A value of a table; nothing for one that a method does not have."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, int):
        return f"{value:,}"
    # Errors have the unit of their series, which may be of any size.
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e9 else f"{value:.4g}"
