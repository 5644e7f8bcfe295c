"""Long Chinese articles of the web in three classes, with their official splits."""

from collections.abc import Iterator
from pathlib import Path

from reformer.data.documents import Document
from reformer.data.index._pickled_texts import read_pickled_texts

_FILES = {"test": "test.pkl", "validation": "dev.pkl", "train": "train.pkl"}


def read_web_articles(folder: Path) -> dict[str, list[Document]]:
    """Train, validation and test as the package has them: the title, a line break, and the article.

    A text stands in one split alone, that of test before validation before train, and once.
    """
    seen: set[str] = set()
    splits = {split: list(_articles(folder / name, split, seen)) for split, name in _FILES.items()}
    return {split: splits[split] for split in ("train", "validation", "test")}


def _articles(path: Path, split: str, seen: set[str]) -> Iterator[Document]:
    for number, (title, content, label) in enumerate(zip(*read_pickled_texts(path.read_bytes()), strict=True), start=1):
        # Line breaks are written as a backslash with an n.
        text = f"{title}\n{content}".replace("\\n", "\n").strip()
        if text and text not in seen:
            seen.add(text)
            yield Document(text, f"web-articles:{split}:{number}", label=str(label), source=f"{path}:{number}")
