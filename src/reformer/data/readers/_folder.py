"""Folder of text files: a document a file, whose class is the folder that it lies in."""

import os
from collections.abc import Iterator
from pathlib import Path

from reformer.data.documents import Document
from reformer.data.errors import DataError, OnError
from reformer.data.readers._record import checked_document
from reformer.data.readers._source import Source

_SUFFIXES = (".txt", ".txt.gz")


def read_folder(
    path: str, on_error: OnError, *, with_label: bool = True, encoding: str | None = None
) -> Iterator[Document]:
    """The `.txt` files in a folder and below it, by their names; hidden ones are passed over.

    Args:
        with_label: whether the class is read, which is the name of the first folder below `path`.
        encoding: of the files; None: UTF-8.

    Raises:
        DataError: there is none, or with `with_label`, its folders are parts of a data set, as `train` and `test` are.
    """
    files = list(text_files(path))
    if not files:
        problem = "the folder has no file of text (.txt)"
        raise DataError(path, None, problem, "give a folder with one folder of .txt files for each class, or a file")
    classes = {file.parts[0] for file in files if len(file.parts) > 1}
    parts = classes & {"train", "test", "dev", "valid", "validation"}
    if with_label and parts:
        shown = ", ".join(sorted(parts))
        raise DataError(
            path, None, f"its folders {shown} are parts of a data set, no classes", f"give {sorted(parts)[-1]}"
        )
    for file in files:
        name = file.as_posix()
        label = file.parts[0] if len(file.parts) > 1 else None
        if with_label and label is None and classes:
            problem = f"the file lies beside the folders of the classes {', '.join(sorted(classes))}"
            on_error(DataError(os.path.join(path, name), None, problem, "move it into the folder of its class"))
            continue
        with Source(os.path.join(path, name), encoding) as source:
            try:
                text = source.decode(source.read(), 0)
                yield checked_document(source, 1, text, id=name, label=label if with_label else None)
            except DataError as error:
                on_error(error)


def text_files(path: str) -> Iterator[Path]:
    """The files of text in a folder and below it, as seen from there, in the order of their names."""
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files, key=by_number):
            if is_text_file(name) and not name.startswith("."):
                yield Path(folder, name).relative_to(path)


def is_text_file(name: str) -> bool:
    """Whether a file is one of text by its name."""
    return name.lower().endswith(_SUFFIXES)


def by_number(name: str) -> tuple[int, str]:
    """Numbered files in the order of their numbers."""
    digits = name.partition(".")[0].partition("_")[0]
    return (int(digits), name) if digits.isdecimal() else (-1, name)
