"""Columns of a CoNLL file, told from its own first lines: which has the words, and which the tags."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from reformer.data.tags import NO_TAG, OUTSIDE, ReadTag, Tag, bare, prefixed, suffixed, tag_reading
from reformer.wording import counted

_WORD_NAMES = {"word", "words", "token", "tokens", "form", "text", "char", "character"}
_TAG_NAMES = {"tag", "tags", "label", "labels", "ner", "ner_tag", "ner_tags", "entity", "ne"}
# Phrases of the chunking that CoNLL-2000 and CoNLL-2003 have beside the entities, English and German.
_CHUNKS = frozenset(["NP", "VP", "PP", "ADVP", "ADJP", "SBAR", "PRT", "CONJP", "INTJ", "LST", "UCP", "NC", "PC", "VC"])
_CHOOSE = "name the columns in their order, such as --columns word,_,tag (data.conll_columns in a recipe)"


class LineError(ValueError):
    """A line that is no word with its tags, and what to do about it."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem, self.remedy = problem, remedy


@dataclass(frozen=True)
class Columns:
    """Places of the word and of the tags in a line of `count` columns; without tags, the words are all there is.

    With `open_end` the last column is a tag whose type may have blanks in it. With `numbered_words` each word is a
    character and the digit of its place in a word of the language, as in the Weibo corpus.
    """

    count: int
    word: int = 0
    tags: tuple[tuple[int, ReadTag], ...] = ()
    open_end: bool = False
    numbered_words: bool = False
    header: tuple[str, ...] = ()
    problem: str | None = None
    """Why there are no tags, though there are more columns than one."""

    def cells(self, line: str) -> list[str]:
        """The columns of a line that is not blank; the word may be a blank."""
        line = line.rstrip("\r\n")
        if "\t" in line:
            # Spaces beside a tab separate, too, but a word may be a space.
            return [cell.strip(" ") or cell for cell in line.rstrip(" \t").split("\t")]
        # Only ASCII spaces separate, since U+3000 may be a word.
        found = re.split(" +", line.strip(" "), maxsplit=self.count - 1 if self.open_end else 0)
        return [" ", *found] if line.startswith(" ") else found

    def is_comment(self, line: str) -> bool:
        """Whether a line that begins with # is no word of the sentence."""
        if not line.startswith("#"):
            return False
        cells = self.cells(line)
        if not self.tags:
            return len(cells) != self.count or len(line.strip()) > 1
        return len(cells) != self.count or any(read(cells[place]) is None for place, read in self.tags)

    def word_of(self, cells: Sequence[str]) -> str | None:
        """The word of a line, if it has that column."""
        word = cells[self.word] if self.word < len(cells) else ""
        return (word[0] if self.numbered_words and word[1:].isdigit() else word) or None

    def tags_of(self, cells: Sequence[str], line: str, *, repair: bool) -> list[Tag]:
        """The tags of a line.

        Raises:
            LineError: it has other columns than the first lines, or no tag where one should be.
        """
        shown = line.rstrip("\r\n")[:60]
        if self.problem is not None:
            raise LineError(self.problem, _CHOOSE)
        if len(cells) < 2 and self.count > 1:
            raise LineError(f"{shown!r} is not a word and its tag", "write the word, a tab and the tag: 京<tab>I-LOC")
        if len(cells) != self.count:
            raise LineError(f"{shown!r} has {counted(len(cells), 'column')}, and others have {self.count}", _CHOOSE)
        found = []
        for place, read in self.tags:
            tag = cells[place].strip()
            if tag == "0" and not repair:
                raise LineError(
                    "the tag is '0', the digit, where O is written as a letter", "write O, or give --repair"
                )
            meant = NO_TAG if tag == "0" else read(tag)
            if meant is None:
                which = "the last column" if place == self.count - 1 else f"column {place + 1}"
                raise LineError(
                    f"{which} is {tag!r}, which is no tag as the others are",
                    "write O, B-TYPE and I-TYPE, or all tags of one of BIOES, BMES, BILUO and types alone",
                )
            found.append(meant)
        return found


def named_columns(names: Sequence[str], sentences: Sequence[Sequence[str]]) -> Columns:
    """Columns as the user names them."""
    from_tabs = any("\t" in line for lines in sentences for line in lines)
    last = len(names) - 1
    columns = Columns(len(names), names.index("word"), open_end=not from_tabs and names[last] == "tag")
    rows = [columns.cells(line) for lines in sentences for line in lines if not line.startswith("#")]
    places = [place for place, name in enumerate(names) if name == "tag"]
    tags = tuple((place, _reading(rows, place) or prefixed) for place in places)
    return Columns(columns.count, columns.word, tags, columns.open_end)


def find_columns(sentences: Sequence[Sequence[str]]) -> Columns:
    """Columns of a file by the lines of its first sentences."""
    plain = Columns(1)
    first = next((plain.cells(line) for lines in sentences for line in lines), [])
    header = _header(first)
    numbered = [[plain.cells(line) for line in lines if not line.startswith("#")] for lines in sentences]
    if header and numbered:
        numbered = [numbered[0][1:], *numbered[1:]]
        place, tag = header
        rows = [row for sentence in numbered for row in sentence]
        return Columns(len(first), place, ((tag, _reading(rows, tag) or prefixed),), header=tuple(first))
    rows = [row for sentence in numbered for row in sentence]
    if all(len(row) == 1 for row in rows):
        return plain
    counts = Counter(len(row) for row in rows if len(row) > 1)
    count = counts.most_common(1)[0][0]
    open_end = _with_blanks_in_types(rows)
    if open_end is not None:
        count = open_end
        shown = Columns(count, open_end=True)
        rows = [shown.cells(line) for lines in sentences for line in lines if not line.startswith("#")]
    even = [row for row in rows if len(row) == count]
    found = [(place, read) for place in range(1, count) if (read := _reading(even, place)) is not None]
    # Types alone are told by little, so that only the last column may have them.
    found = [(place, read) for place, read in found if read is not bare or place == count - 1]
    entities = [(place, read) for place, read in found if not _are_chunks(even, place, read)]
    tags = tuple(entities or found)
    word = 1 if count > 1 and _counts(numbered) and all(place != 1 for place, _ in tags) else 0
    problem = None if tags else "no column has tags such as O, B-PER and I-PER"
    digits = _are_numbered([row[word] for sentence in numbered for row in sentence if len(row) > word])
    return Columns(count, word, tags, open_end is not None, digits, problem=problem)


def _header(cells: Sequence[str]) -> tuple[int, int] | None:
    """The columns of the word and of the tag, where the first line names both."""
    names = [cell.strip().lower() for cell in cells]
    words = [place for place, name in enumerate(names) if name in _WORD_NAMES]
    tags = [place for place, name in enumerate(names) if name in _TAG_NAMES]
    return (words[0], tags[0]) if len(words) == 1 and len(tags) == 1 else None


def _reading(rows: Iterable[Sequence[str]], place: int) -> ReadTag | None:
    """How a column's tags are written; None where less than half of it are tags. A few wrong ones are told by line."""
    cells = [row[place].strip() for row in rows if len(row) > place]
    tags = [cell for cell in cells if cell != "0"]
    if not tags:
        return None
    whole = tag_reading(tags)
    if whole is not None:
        return whole
    read = max((prefixed, suffixed), key=lambda each: sum(each(tag) is not None for tag in tags))
    return read if 2 * sum(read(tag) is not None for tag in tags) >= len(tags) else None


def _are_chunks(rows: Iterable[Sequence[str]], place: int, read: ReadTag) -> bool:
    types = {tag[1] for row in rows if (tag := read(row[place].strip())) is not None and tag != NO_TAG}
    return bool(types) and types <= _CHUNKS


def _with_blanks_in_types(rows: Sequence[Sequence[str]]) -> int | None:
    """The number of columns where the last one is a tag with blanks in its type; None if there are no such tags."""
    for place in range(1, min(len(row) for row in rows)):
        if not all(prefixed(row[place]) for row in rows):
            continue
        outside = [row for row in rows if row[place] in OUTSIDE]
        rest = [cell for row in rows for cell in row[place + 1 :]]
        if rest and not any(prefixed(cell) for cell in rest) and all(len(row) == place + 1 for row in outside):
            return place + 1
    return None


def _counts(sentences: Iterable[Sequence[Sequence[str]]]) -> bool:
    """Whether the first column counts the words of a sentence, or the lines of the file."""
    reached = 0
    for rows in sentences:
        numbers = [int(row[0]) if row[0].isascii() and row[0].isdigit() and len(row[0]) < 10 else -1 for row in rows]
        if not numbers:
            continue
        begins = numbers[0] in (0, 1) or 0 < numbers[0] - reached <= 2
        if not begins or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            return False
        reached = numbers[-1]
    return True


def _are_numbered(words: Sequence[str]) -> bool:
    """Whether every word is a character and a digit that counts within words."""
    if len(words) < 4 or not all(re.fullmatch(r"\D[0-9]", word) for word in words):
        return False
    digits = [int(word[1]) for word in words]
    return digits[0] == 0 and all(next == 0 or next == before + 1 for before, next in pairwise(digits))
