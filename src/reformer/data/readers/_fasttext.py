"""fastText: the class and the text of a document a line, as `__label__CLASS TEXT`."""

import re
from collections.abc import Iterator

from reformer.data.documents import Document
from reformer.data.errors import DataError, OnError
from reformer.data.readers._record import checked_document
from reformer.data.readers._source import Source, UnreadableFileError
from reformer.wording import counted

PREFIX = "__label__"
_LABELS = re.compile(rf"\s*((?:{PREFIX}\S+\s+)*{PREFIX}\S+)(?:[ \t]+|$)")


def read_fasttext(source: Source, on_error: OnError, *, with_label: bool = True) -> Iterator[Document]:
    """A document a line that is not blank.

    Args:
        with_label: whether to read the class; a line need not have one otherwise.
    """
    while True:
        try:
            line = next(source).rstrip("\r\n")
            if not line.strip():
                continue
            found = _LABELS.match(line)
            labels = [] if found is None else [label.removeprefix(PREFIX) for label in found[1].split()]
            if with_label and len(labels) != 1:
                told = f"{counted(len(labels), 'label')} ({', '.join(labels)})" if labels else f"no {PREFIX}"
                raise source.error(f"the line has {told}", f"begin it with one class, such as {PREFIX}pos")
            text = line if found is None else line[found.end() :]
            document = checked_document(source, source.line, text, label=labels[0] if with_label else None)
        except StopIteration:
            return
        except UnreadableFileError:
            raise
        except DataError as error:
            on_error(error)
        else:
            yield document
