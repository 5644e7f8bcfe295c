"""Pictures of an inspection as SVG that stands in a page: bars, stacked bars, and heat maps."""

from collections.abc import Sequence
from html import escape

from reformer.terminal import printable

WIDTH, ROW, LABEL, VALUE = 700, 24, 150, 70
"""Of a picture, of a bar with the space below it, and of the words on its left and on its right, in pixels."""


def bars(rows: Sequence[tuple[str, Sequence[tuple[str, float]]]], whole: float, title: str) -> str:
    """A bar for each row, of parts one behind the other.

    Args:
        rows: the words beside each bar; and its parts, each with the words that a pointer shows and its length.
        whole: the length of a bar over the whole width.
        title: for those who cannot see it.
    """
    drawn, full = [], WIDTH - LABEL - VALUE
    for number, (name, parts) in enumerate(rows):
        top, left = number * ROW, float(LABEL)
        drawn.append(f'<text x="{LABEL - 8}" y="{top + 16}" text-anchor="end">{text(name)}</text>')
        drawn.append(f'<rect class="empty" x="{LABEL}" y="{top + 3}" width="{full}" height="18"/>')
        for place, (words, length) in enumerate(parts):
            width = max(0.0, full * length / whole) if whole > 0 else 0.0
            drawn.append(
                f'<rect class="part{place % 8}" x="{left:.1f}" y="{top + 3}" width="{width:.1f}" height="18">'
                f"<title>{text(words)}</title></rect>"
            )
            left += width
        if len(parts) == 1:
            drawn.append(f'<text x="{WIDTH - VALUE + 8}" y="{top + 16}">{text(parts[0][0])}</text>')
    return _svg(drawn, WIDTH, len(rows) * ROW, title)


def heat_map(columns: Sequence[str], rows: Sequence[tuple[str, Sequence[float | None]]], title: str) -> str:
    """A cell for each share from 0 to 1, as deep in colour as it is great, with its percentage; nothing for None."""
    cell, top = 64, 24
    width = LABEL + cell * len(columns)
    drawn = [
        f'<text x="{LABEL + cell * place + cell / 2:.0f}" y="16" text-anchor="middle">{text(name)}</text>'
        for place, name in enumerate(columns)
    ]
    for number, (name, shares) in enumerate(rows):
        down = top + number * ROW
        drawn.append(f'<text x="{LABEL - 8}" y="{down + 16}" text-anchor="end">{text(name)}</text>')
        for place, share in enumerate(shares):
            if share is None:
                continue
            across = LABEL + cell * place
            deep = " deep" if share > 0.6 else ""
            drawn.append(
                f'<rect class="heat" x="{across + 1}" y="{down + 1}" width="{cell - 2}" height="{ROW - 2}" '
                f'fill-opacity="{min(1.0, max(0.0, share)):.3f}"/>'
                f'<text class="cell{deep}" x="{across + cell / 2:.0f}" y="{down + 16}" text-anchor="middle">'
                f"{100 * share:.1f}</text>"
            )
    return _svg(drawn, width, top + len(rows) * ROW, title)


def legend(names: Sequence[str]) -> str:
    """The colours of the parts of bars, in words."""
    keys = "".join(
        f'<span><span class="key part{place % 8}"></span>{text(name)}</span>' for place, name in enumerate(names)
    )
    return f'<p class="legend">{keys}</p>'


def text(words: str) -> str:
    """Words of anybody as text of a page."""
    return escape(printable(words))


def _svg(drawn: Sequence[str], width: int, height: int, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{text(title)}">{"".join(drawn)}</svg>'
    )
