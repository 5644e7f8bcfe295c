"""Marked spans of a text as files have them, made sure of against the text itself."""

import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from reformer.data.documents import Span, span_problem
from reformer.data.graphemes import widened_to_graphemes
from reformer.data.notes import Notes
from reformer.errors import ReformerError

OnOverlap = Literal["error", "longest", "first", "keep"]


@dataclass(frozen=True, slots=True)
class SpanReading:
    """How spans are read.

    `repair` moves a span whose own text stands elsewhere to where it stands. `on_overlap` says which of overlapping
    spans stay: the `longest`, those that begin `first` (of two, the one that the file has first), all (`keep`), or none
    and an `error`. `columns` names the columns of CoNLL, in their order: `word`, `tag`, or `_` for what is not read.
    Unless they are `wanted`, no span is looked at.
    """

    repair: bool = False
    on_overlap: OnOverlap = "error"
    columns: tuple[str, ...] | None = None
    wanted: bool = True


def column_names(given: str | None) -> tuple[str, ...] | None:
    """The columns of CoNLL that the user names, such as `word,_,tag`.

    Raises:
        ReformerError: there is not one `word`, or another name.
    """
    if given is None:
        return None
    names = tuple(name.strip().lower() for name in given.split(","))
    if names.count("word") != 1 or not set(names) <= {"word", "tag", "_"}:
        raise ReformerError(f"columns {given!r}: expected one word, tag, and _ for others, such as word,_,tag")
    return names


@dataclass(frozen=True, slots=True)
class MarkedSpan:
    """Span as a file marks it. `text` is what the file says stands there, if it says so. With `end_included` the
    last character stands at `end`; None: the text tells. With `in_utf16` offsets count units of UTF-16."""

    start: int
    end: int
    label: str
    text: str | None = None
    end_included: bool | None = False
    in_utf16: bool = False


class SpanError(ValueError):
    """Spans that are wrong, and what to do about it."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem, self.remedy = problem, remedy


_BOUNDS = "correct the spans: 0 <= start < end <= length, in characters"
REPAIR = "correct the offsets, or read with --repair (data.repair = true in a recipe)"
OVERLAP = (
    "give --on-overlap longest or first (data.on_overlap in a recipe) to keep one of them, or keep to label all, in "
    "layers; or correct the spans"
)


def read_spans(
    text: str, marked: Iterable[MarkedSpan], reading: SpanReading, notes: Notes, line: int
) -> tuple[Span, ...]:
    """The spans in order: where their own texts stand, without white space at their ends, of whole graphemes, each
    once, and without overlap unless it is to be kept.

    Raises:
        SpanError: a span that is outside of the text, has another text, or is nothing but white space; or an overlap.
    """
    found: list[Span] = []
    for span in marked:
        label = span.label.strip()
        start, end = _placed(text, span, reading, notes, line)
        problem = span_problem(text, [Span(start, end, label)])
        if problem is not None:
            raise SpanError(problem + _other_units(text, start, end), _BOUNDS)
        fitted = fitted_span(text, start, end)
        if fitted is None:
            raise SpanError(f"the span {start}:{end} ({label}) is nothing but white space", "delete it, or correct it")
        inside = text[start:end]
        notes.count("spans trimmed of white space at their ends", line, inside != inside.strip())
        cut = fitted[0] < start or fitted[1] > end
        notes.count("spans widened to whole characters, which are several code points", line, cut)
        found.append(Span(*fitted, label))
    once = list(dict.fromkeys(found))
    notes.count("spans read once that stood there twice", line, len(found) - len(once))
    return _without_overlap(text, once, reading.on_overlap, notes, line)


def fitted_span(text: str, start: int, end: int) -> tuple[int, int] | None:
    """A span without white space at its ends, and of whole graphemes; None where there is nothing else in it.

    The one reading of spans, for those of files and for those of a model.
    """
    inside = text[start:end]
    first = start + len(inside) - len(inside.lstrip())
    last = end - (len(inside) - len(inside.rstrip()))
    return widened_to_graphemes(text, first, last) if first < last else None


def fitted_spans(spans: Iterable[Span], text: str) -> list[Span]:
    """Spans that are in order, each as `fitted_span` has it; of a grapheme that two share, the first has all."""
    found: list[Span] = []
    for span in spans:
        fitted = fitted_span(text, span.start, span.end)
        if fitted is None:
            continue
        start = max(fitted[0], found[-1].end if found else 0)
        if start < fitted[1]:
            found.append(Span(start, fitted[1], span.label))
    return found


def _placed(text: str, span: MarkedSpan, reading: SpanReading, notes: Notes, line: int) -> tuple[int, int]:
    """Where a span stands by its offsets, or by its own text."""
    start, end, own = span.start, span.end, span.text
    if span.in_utf16:
        units = [_of_units(text, place, "utf-16-le", 2) for place in (start, end)]
        if None not in units and (own is None or _alike(_slice(text, units[0] or 0, units[1] or 0), own)):
            return units[0] or 0, units[1] or 0
    if own is None or not own.strip():
        if span.end_included is None:
            raise SpanError(
                f"nothing says whether the end of {start}:{end} ({span.label}) belongs to the span",
                "give each span its text, too",
            )
        return start, end + bool(span.end_included)
    ends = {False: (end,), True: (end + 1,), None: (end + 1, end)}[span.end_included]
    for each in ends:
        if start >= 0 and each <= len(text) and _alike(text[start:each], own):
            return start, each
    shifts = dict.fromkeys(place for _, place in _shifts(text, start, end, own))
    once = text.find(own)
    if not shifts and once >= 0 and text.find(own, once + 1) < 0:
        shifts = {(once, once + len(own)): None}
    problem = f"the text of the span {start}:{end} ({span.label}) is {own[:60]!r}, and there stands "
    problem += repr(_slice(text, start, end)[:60])
    if len(shifts) == 1:
        [(first, last)] = shifts
        if reading.repair:
            notes.count("spans moved to where their texts stand", line)
            return first, last
        names = " and ".join(name for name, place in _shifts(text, start, end, own) if place == (first, last))
        raise SpanError(
            f"{problem}; {own[:60]!r} stands at {first}:{last}" + (f" (offsets {names}?)" if names else ""), REPAIR
        )
    number = text.count(own)
    where = f"and this stands at {number} places" if number else "and this stands nowhere in the text"
    raise SpanError(f"{problem}, {where}", "correct the offsets, or the span's text")


def _slice(text: str, start: int, end: int) -> str:
    return text[max(start, 0) : max(end, 0)]


def _alike(found: str, own: str) -> bool:
    """Whether two texts are one, but for white space and for the way that accents are written."""
    return found == own or _normal(found) == _normal(own)


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _shifts(text: str, start: int, end: int, own: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Usual mistakes in counting under which the span's own text stands where the offsets say."""
    for name, first, last in _other_counts(text, start, end):
        if 0 <= first < last <= len(text) and _alike(text[first:last], own):
            yield name, (first, last)


def _other_counts(text: str, start: int, end: int) -> Iterator[tuple[str, int, int]]:
    yield "with the end included", start, end + 1
    yield "counted from 1", start - 1, end - 1
    yield "counted from 1 with the end included", start - 1, end
    yield "that begin one too early", start + 1, end + 1
    for name, encoding, width in (("UTF-16 units", "utf-16-le", 2), ("bytes of UTF-8", "utf-8", 1)):
        for extra, included in (("", 0), (" with the end included", 1)):
            places = [_of_units(text, place, encoding, width) for place in (start, end + included)]
            # In a text where the units are its characters, this is another of the mistakes.
            if None not in places and places != [start, end + included]:
                yield f"in {name}{extra}", places[0] or 0, places[1] or 0
    if "\r\n" in text:
        places = [_of_short_line_ends(text, place) for place in (start, end)]
        yield "that count a line end as one character", places[0], places[1]


def _of_units(text: str, place: int, encoding: str, width: int) -> int | None:
    """The character that begins `place` units into the text; None where none does."""
    if not 0 <= place <= 4 * len(text):
        return None
    # An UTF-16 unit or a byte is at most one character.
    data = text[:place].encode(encoding, "surrogatepass")[: place * width]
    try:
        return len(data.decode(encoding, "surrogatepass")) if len(data) == place * width else None
    except UnicodeDecodeError:
        return None


def _of_short_line_ends(text: str, place: int) -> int:
    reached = 0
    for number, line in enumerate(text.split("\r\n")):
        if place <= reached + len(line):
            return place + number
        reached += len(line) + 1
    return -1


def _other_units(text: str, start: int, end: int) -> str:
    for name, encoding, width in (("UTF-16 units", "utf-16-le", 2), ("bytes of UTF-8", "utf-8", 1)):
        if len(text) < end <= len(text.encode(encoding, "surrogatepass")) // width and start < end:
            return f" (offsets in {name}?)"
    return ""


def _without_overlap(
    text: str, spans: Sequence[Span], on_overlap: OnOverlap, notes: Notes, line: int
) -> tuple[Span, ...]:
    ordered = sorted(spans, key=lambda span: (span.start, span.end))
    if on_overlap == "keep":
        return tuple(ordered)
    problem = span_problem(text, ordered)
    if problem is None:
        return tuple(ordered)
    if on_overlap == "error":
        raise SpanError(problem, OVERLAP)
    first = on_overlap == "first"
    wanted = sorted(spans, key=lambda span: span.start if first else (span.start - span.end, span.start))
    kept: list[Span] = []
    for span in wanted:
        place = bisect_left(kept, span.start, key=lambda other: other.start)
        neighbours = kept[max(place - 1, 0) : place + 1]
        if all(span.end <= other.start or other.end <= span.start for other in neighbours):
            kept.insert(place, span)
    notes.count(f"spans left out that lay over another, to keep the {on_overlap}", line, len(ordered) - len(kept))
    return tuple(kept)
