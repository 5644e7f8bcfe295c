"""brat, to be written: a text and its entities, each in a file of its own."""

import re

from reformer.data.documents import Document
from reformer.data.formats.record import refuse


def brat(document: Document) -> tuple[str, str]:
    """The texts of both files, that of the document and that of its entities.

    Raises:
        DataError: entities are not known, or a type has a blank in it.
    """
    if document.spans is None:
        raise refuse(document, "brat", "a text that nobody has looked at for entities")
    lines = []
    for number, span in enumerate(document.spans, 1):
        if re.search(r"\s", span.label):
            raise refuse(document, "brat", f"the type {span.label!r}, which has a blank")
        own = re.sub(r"[\x00-\x1f\x85\u2028\u2029]", " ", document.text[span.start : span.end])
        lines.append(f"T{number}\t{span.label} {span.start} {span.end}\t{own}\n")
    return document.text, "".join(lines)
