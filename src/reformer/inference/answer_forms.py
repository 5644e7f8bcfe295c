"""Forms of answers in a file: JSONL, a table, and what annotation tools read."""

import csv
import io
import json
from pathlib import Path
from typing import Any, Protocol

from reformer.errors import ReformerError

COMPUTED = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Beginnings of cells that spreadsheets take for a formula."""

OF_CLASSES = ("doccano", "label-studio", "prodigy")
"""Formats that hold the class of a text, or its labels."""
OF_ENTITIES = (*OF_CLASSES, "spacy", "tokens", "cluener", "cmeee", "conll", "bioes", "bmes", "biluo", "io", "conllu")
"""Formats that hold entities."""


class Form(Protocol):
    """How answers are written."""

    def __call__(self, fields: dict[str, Any]) -> str:
        """One answer, behind those before it.

        Raises:
            DataError: the form cannot hold it.
        """
        ...

    def end(self) -> str:
        """What stands behind the last answer."""
        ...


class JsonLines:
    """An answer a line, with all its fields."""

    def __call__(self, fields: dict[str, Any]) -> str:
        return json.dumps(fields, ensure_ascii=False) + "\n"

    def end(self) -> str:
        return ""


class TableForm:
    """Rows of a table, behind the names of its columns; a cell that is no text and no number is JSON.

    Args:
        excel: begin with a byte order mark, and put `'` before a cell that a spreadsheet would compute.
        is_begun: whether the columns are named already.
    """

    def __init__(self, *, excel: bool, is_begun: bool) -> None:
        self._excel, self._is_begun = excel, is_begun
        self._columns: list[str] = []

    def __call__(self, fields: dict[str, Any]) -> str:
        rows = io.StringIO()
        writer = csv.writer(rows, lineterminator="\n")
        if not self._columns:
            self._columns = list(fields)
            if not self._is_begun:
                rows.write("\ufeff" if self._excel else "")
                writer.writerow(map(self._cell, self._columns))
        if list(fields) != self._columns:
            raise ReformerError(
                f"an answer has the fields {', '.join(fields)} and those before have {', '.join(self._columns)}, which "
                "no table can hold; give an --output that does not end with .csv"
            )
        writer.writerow(map(self._cell, fields.values()))
        return rows.getvalue()

    def end(self) -> str:
        return ""

    def _cell(self, value: Any) -> Any:
        if value is None:
            return ""
        cell = value if isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)
        return f"'{cell}" if self._excel and isinstance(cell, str) and cell.startswith(COMPUTED) else cell


class AnnotationForm:
    """A format of annotation tools, as `reformer data convert` writes it; Label Studio's tasks have the answers as
    predictions with their scores, which somebody accepts or corrects.

    Args:
        format: one of `OF_ENTITIES`.
        is_begun: whether there are answers already.
    """

    def __init__(self, format: str, *, is_begun: bool) -> None:
        from reformer.data.formats.table import JSON_FORMATS
        from reformer.data.formats.writers import document_writer

        format = "label-studio-predictions" if format == "label-studio" else format
        self._write, self._is_begun = document_writer(format), is_begun
        self._as_list = format in JSON_FORMATS and JSON_FORMATS[format].as_list

    def __call__(self, fields: dict[str, Any]) -> str:
        written = self._write(document_of(fields))
        if not self._as_list:
            return written
        before, self._is_begun = ",\n" if self._is_begun else "[\n", True
        return before + written.rstrip("\n")

    def end(self) -> str:
        return "" if not self._as_list else "\n]\n" if self._is_begun else "[]\n"


def document_of(fields: dict[str, Any]) -> Any:
    """The document that an answer to a text says."""
    from reformer.data.documents import Document, Span

    spans = fields.get("spans")
    label = fields.get("label")
    return Document(
        fields["text"],
        fields["id"],
        label=label if isinstance(label, str) else None,
        labels=tuple(label) if isinstance(label, list) else None,
        spans=spans
        if spans is None
        else tuple(Span(span["start"], span["end"], span["label"], span.get("score")) for span in spans),
    )


def is_table(output: Path | None) -> bool:
    """Whether answers are written as a table."""
    return output is not None and output.suffix.lower() == ".csv"


def answer_form(output: Path | None, to: str | None, *, excel: bool, is_begun: bool) -> Form:
    """The form that the options and the name of the output say."""
    if to is not None:
        return AnnotationForm(to, is_begun=is_begun)
    return TableForm(excel=excel, is_begun=is_begun) if is_table(output) else JsonLines()


def check_form(
    task: Any, output: Path | None, to: str | None, *, text: bool | None, scores: bool | None, keep_columns: bool
) -> None:
    """Raise `ReformerError` where a format of annotation tools cannot hold the answers as they are asked for."""
    from reformer.tasks.documents.task import DocumentTask
    from reformer.tasks.documents.token_classification import TokenClassification

    if to is None:
        return
    has_entities = isinstance(task, TokenClassification)
    fitting = OF_ENTITIES if has_entities else OF_CLASSES if isinstance(task, DocumentTask) else ()
    if not fitting:
        raise ReformerError(f"--to {to}: formats of annotation tools hold entities and classes of texts; leave it out")
    if to not in fitting:
        held = "entities" if has_entities else "classes"
        raise ReformerError(
            f"--to {to}: expected one of {', '.join(fitting)}, which hold {held} in one file; for others convert one "
            "of these with `reformer data convert`, and for JSONL with scores or a table leave --to out"
        )
    if is_table(output):
        raise ReformerError(f"{output}: --to {to} is no table; give an --output that does not end with .csv")
    if text is False:
        raise ReformerError(f"--no-text: {to} has texts with their annotations; leave one of the two out")
    if scores is not None:
        raise ReformerError(
            f"--{'' if scores else 'no-'}scores: {to} has no place for those of all classes; leave it out"
        )
    if keep_columns:
        raise ReformerError(f"--keep-columns: {to} has no place for them; leave one of the two out")
