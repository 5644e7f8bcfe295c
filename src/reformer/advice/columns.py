"""Columns of a table or of JSONL: which one has the text, and which one the label."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reformer.data import DataError
from reformer.data.notes import DataWarning
from reformer.data.readers import NO_HEADER
from reformer.data.tags import prefixed

TEXT_NAMES = (
    *("text", "sentence", "content", "review", "comment", "message", "document", "body", "tweet", "utterance"),
    *("query", "question", "title", "文本", "内容", "评论", "句子"),
)
LABEL_NAMES = (
    *("label", "class", "category", "sentiment", "intent", "topic", "tag", "polarity", "rating", "target", "y"),
    *("标签", "类别", "情感", "分类"),
)
"""Columns by the names that they are given most often, the first of them before others."""
_WORD_NAMES, _TAG_NAMES = ("word", "token"), ("tag", "ner", "ner_tag", "bio", "label")
PAIR = ("source", "target")
NO_COLUMN = {"id", "spans"}
SHORT = 60
"""Characters of a label, at most on average."""

Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Columns:
    """Names of the columns that are read; `label` is None where no column can be one."""

    text: str
    label: str | None
    are_pairs: bool
    """Whether the labels are texts, too."""


def find_columns(
    place: str,
    records: Records,
    text: str | None,
    label: str | None,
    *,
    with_label: bool = True,
    has_header: bool = False,
) -> Columns:
    """The columns of the text and of the label: the given ones, or those whose names or values tell it.

    Args:
        with_label: False to look for no label.
        has_header: whether the names are the first line of a table, which may as well be its first row.

    Raises:
        DataError: at `place`, a column that is not there, or none or several that could be the one.
    """
    # A field of JSONL may be missing in some records.
    names = list(dict.fromkeys(name for record in records for name in record))
    known = {*TEXT_NAMES, *LABEL_NAMES, *PAIR, *NO_COLUMN, text, label}
    is_doubtful = has_header and not any(name in known or name.strip().lower() in known for name in names)
    look = _Search(place, records, names, is_doubtful)
    for given in (text, label):
        if given is not None and given not in names:
            raise look.error(f"there is no column {given!r}", "name one of them")
    look.refuse_words()
    if names != [str(number) for number in range(1, len(names) + 1)]:
        look.refuse_missing_header()
    if with_label and text is None and label is None and set(PAIR) <= set(names):
        return Columns(*PAIR, are_pairs=True)
    left = [name for name in names if name not in NO_COLUMN and name != label]
    told = text or _named(left, TEXT_NAMES)
    text = told or look.longest(left)
    if text is None:
        raise look.error("no column has texts", "name the one to read by --text-column")
    left = [name for name in left if name != text]
    if with_label and label is None:
        label = _named(left, LABEL_NAMES) or look.recurring(left)
    if told is None and is_doubtful:
        said = f"{place}: the texts are read from the column {text[:40]!r}, as the first line calls it"
        warnings.warn(f"{said}; {NO_HEADER}", DataWarning, stacklevel=2)
    return Columns(text, label, label is not None and _mean_length(_values(records, label)) > SHORT)


def _named(names: Sequence[str], known: Sequence[str]) -> str | None:
    found = {name.strip().lower(): name for name in reversed(names)}
    return next((found[name] for name in known if name in found), None)


def _values(records: Records, name: str) -> list[str]:
    """The values that are texts or whole numbers, as texts."""
    found = (record.get(name) for record in records)
    return [str(value) for value in found if isinstance(value, str | int) and not isinstance(value, bool)]


def _mean_length(values: Sequence[str]) -> float:
    return sum(map(len, values)) / max(1, len(values))


@dataclass(frozen=True)
class _Search:
    """Search for columns by the values of records, and its errors."""

    place: str
    records: Records
    names: Sequence[str]
    is_doubtful: bool
    """Whether the names may as well be the first row of a table."""

    def longest(self, names: Sequence[str]) -> str | None:
        """The column with the longest values; None where none is left."""
        lengths = {name: _mean_length(_values(self.records, name)) for name in names}
        return max(lengths, key=lengths.__getitem__, default=None)

    def recurring(self, names: Sequence[str]) -> str | None:
        """The one column whose values are short and recur; None where no other column is left."""
        if not names:
            return None
        found = []
        for name in names:
            values = _values(self.records, name)
            different = len(set(values))
            if 2 <= different <= max(2, len(values) // 2) and _mean_length(values) <= SHORT:
                found.append(name)
        if len(found) == 1:
            return found[0]
        shown = ", ".join(map(repr, found))
        raise self.error(
            f"{shown} could each be the label" if found else "no column looks like a label",
            "name the label's, or the target text's, by --label-column, or give --task masked-language-modelling for "
            "texts without",
        )

    def refuse_words(self) -> None:
        """Raise `DataError` where a record is a word of a text, and its label the tag of an entity."""
        names = {name.strip().lower(): name for name in self.names}
        tags = [names[name] for name in _TAG_NAMES if name in names]
        if any(name in names for name in _WORD_NAMES) and tags:
            values = [value for value in _values(self.records, tags[0]) if value.strip()]
            if any(value != "O" for value in values) and all(map(prefixed, values)):
                raise DataError(
                    self.place,
                    None,
                    f"the rows are words with the tags of entities ({tags[0]!r}), where each should be a text",
                    "write a word, a tab and its tag a line, a blank line behind each sentence, and name it .conll",
                )

    def refuse_missing_header(self) -> None:
        """Raise `DataError` where a name is a value of other records."""
        for name in self.names:
            if name and all(name in record for record in self.records) and name in set(_values(self.records, name)):
                shown = ", ".join(repr(each[:40]) for each in self.names[:20])
                raise DataError(
                    self.place,
                    None,
                    f"the first line names no columns: its cell {name[:40]!r} is a value of other lines; the columns "
                    f"are {shown}",
                    "put a line before it that names them, such as text,label, or give --no-header",
                )

    def error(self, problem: str, remedy: str) -> DataError:
        """An error that names the columns."""
        shown = ", ".join(repr(name[:40]) for name in self.names[:20])
        hint = f"; {NO_HEADER}" if self.is_doubtful else ""
        return DataError(self.place, None, f"{problem}; the columns are {shown}", remedy + hint)
