import gzip
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reformer.data import Document, read_documents


@dataclass
class Reading:
    """What came of a file: its documents, and the errors as they are printed, without the folder."""

    documents: list[Document]
    errors: list[str] = field(default_factory=list)

    @property
    def texts(self):
        return [document.text for document in self.documents]


@pytest.fixture
def read(tmp_path):
    """Write a file of that name and content, and read it with its errors reported."""

    def write_and_read(name: str, content: str | bytes, **options) -> Reading:
        path: Path = tmp_path / name
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        errors = []
        documents = list(read_documents(path, on_error=errors.append, **options))
        return Reading(documents, [str(error).removeprefix(f"{tmp_path}/") for error in errors])

    return write_and_read
