"""The MSRA entities, with their official test split."""

from dataclasses import replace
from pathlib import Path

from reformer.data.documents import Document
from reformer.data.readers._conll import read_conll
from reformer.data.readers._reading import Reading
from reformer.data.readers._source import Source

_TEST_BEGINS = "中共中央致中国致公党十一大的贺词"


def read_msra_ner(folder: Path) -> dict[str, list[Document]]:
    """Train, validation (the last twentieth of the official training chunks) and the official test.

    The tags are read as strict IOB2, the reading that the published counts of entities follow.
    """
    with Source(str(folder / "dh_msra.txt")) as source:
        chunks = [
            replace(document, id=f"msra-ner:{number}")
            for number, document in enumerate(read_conll(source, Reading(), strict=True))
        ]
    test_start = next(number for number, document in enumerate(chunks) if document.text.startswith(_TEST_BEGINS))
    validation_start = test_start * 19 // 20
    return {
        "train": chunks[:validation_start],
        "validation": chunks[validation_start:test_start],
        "test": chunks[test_start:],
    }
