"""Sequences of tags in CoNLL that no scheme allows."""

from collections.abc import Iterator

from reformer.data import DataError
from reformer.data.readers import Source

_INSIDE = ("I", "M", "E", "L")
_BEGIN = ("B", "I", "M")


def broken_sequences(path: str, encoding: str | None = None) -> Iterator[DataError]:
    """An error for each tag that goes on with an entity which is not there, as `I-LOC` after `O` or `B-PER`.

    A file in which entities begin with `B-` only behind one of their own type is IOB1, where this is meant.
    """
    found, begins = [], 0
    before = "O"
    with Source(path, encoding) as source:
        while True:
            try:
                line = next(source).strip()
            except StopIteration:
                break
            except DataError:
                before = "O"
                continue
            tag = line.split()[-1] if line and not line.startswith(("#", "-DOCSTART-")) else "O"
            prefix, _, name = tag.partition("-")
            last, _, last_name = before.partition("-")
            follows = last in _BEGIN and last_name == name
            begins += prefix == "B" and not follows
            if prefix in _INSIDE and name and not follows:
                told = f"the tag {tag!r} goes on with an entity, and {before!r} before it is no part of one"
                found.append(source.error(told, f"begin the entity with B-{name}, or give both one type"))
            before = tag
    if begins:
        yield from found
