"""Chinese reviews of two classes, without the duplicates that would stand on both sides of a split."""

import hashlib
from pathlib import Path

from reformer.data.documents import Document, drop_duplicates
from reformer.data.readers._source import Source


def read_chinese_reviews(folder: Path) -> dict[str, list[Document]]:
    """Train, validation and test: 80, 10 and 10 % of each label.

    Of equal texts one stays; a text that has both labels goes. Which split a review falls in hangs on the rank of
    its text's hash alone, so not on the order of the files; the hash also mixes the labels within a split.
    """
    reviews = {label: _reviews(folder / f"{label}.txt", label) for label in ("pos", "neg")}
    both = set(reviews["pos"]) & set(reviews["neg"])
    splits: dict[str, list[Document]] = {"train": [], "validation": [], "test": []}
    for found in reviews.values():
        ranked = sorted((document for text, document in found.items() if text not in both), key=_hash)
        train_end, validation_end = len(ranked) * 8 // 10, len(ranked) * 9 // 10
        splits["train"] += ranked[:train_end]
        splits["validation"] += ranked[train_end:validation_end]
        splits["test"] += ranked[validation_end:]
    for documents in splits.values():
        documents.sort(key=_hash)
    return splits


def _hash(document: Document) -> bytes:
    return hashlib.sha256(document.text.encode()).digest()


def _reviews(path: Path, label: str) -> dict[str, Document]:
    with Source(str(path)) as source:
        documents = (
            Document(line.strip(), f"{label}:{source.line}", label=label, source=f"{source.path}:{source.line}")
            for line in source
            if line.strip()
        )
        return {document.text: document for document in drop_duplicates(documents)}
