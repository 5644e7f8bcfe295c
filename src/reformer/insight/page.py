"""Report on data as a page of HTML that needs no other file."""

from collections.abc import Iterable, Sequence
from html import escape

from reformer.insight.data_check import DataReport
from reformer.terminal import printable
from reformer.wording import counted

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
td, th { border-bottom: 1px solid #8884; padding: .2rem .8rem; text-align: left; vertical-align: top; }
td.number { text-align: right; }
meter { width: 12rem; }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd; } }
"""


def page(report: DataReport) -> str:
    """The report as HTML; text of the data stands in it as text."""
    lengths = [(f"{name} text", f"{counted(value, 'character')}") for name, value in report.lengths.items()]
    figures = [("task", report.task), ("records", f"{report.records:,}"), ("characters", f"{report.characters:,}")]
    scripts = [(f"letters, {name}", f"{share:.1%}") for name, share in report.scripts.items()]
    parts = [
        f"<h1>{_text(report.source)}</h1>",
        _table((), [*figures, *lengths, *scripts]),
        _labels(report),
        f"<h2>{counted(len(report.faults), 'fault')}</h2>",
    ]
    if report.faults:
        rows = [
            (f"{fault.path or ''}:{fault.line or ''}".strip(":"), fault.problem, fault.remedy)
            for fault in report.faults
        ]
        parts.append(_table(("place", "problem", "remedy"), rows))
    if report.notes:
        parts.append("<h2>To know</h2><ul>" + "".join(f"<li>{_text(note)}</li>" for note in report.notes) + "</ul>")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_text(report.source)}</title>'
        f"<style>{_STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def _labels(report: DataReport) -> str:
    if not report.labels:
        return ""
    total = sum(report.labels.values())
    rows = "".join(
        f'<tr><td>{_text(name)}</td><td class="number">{count:,}</td>'
        f'<td><meter max="{total}" value="{count}"></meter> {count / total:.1%}</td></tr>'
        for name, count in report.labels.items()
    )
    return f"<h2>Labels</h2><table>{rows}</table>"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "<tr>" + "".join(f"<th>{_text(name)}</th>" for name in header) + "</tr>" if header else ""
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{head}{body}</table>"


def _text(text: str) -> str:
    return escape(printable(text))
