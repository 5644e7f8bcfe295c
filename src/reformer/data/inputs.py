"""Files that the arguments of a command name: paths, folders, patterns, and standard input."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator

from reformer.data.errors import DataError
from reformer.data.readers._brat import is_brat_folder
from reformer.data.readers._folder import by_number, is_text_file
from reformer.data.readers._parquet import is_datasets_folder
from reformer.data.remote import files_at, is_url
from reformer.data.standard_input import STANDARD_INPUT


def find_inputs(given: Iterable[str], is_read: Callable[[str], bool], *, whole_folders: bool = True) -> list[str]:
    """The files to read, in their order: arguments as they were given, and what each stands for by name.

    - A file, `-` for standard input, and a data set as `index:NAME` stand for themselves.
    - A folder stands for the files in it and below it that are read: first its own, then its folders', both by name and
      numbered ones by their numbers. Hidden files and folders are passed over, links to folders, too.
    - A URL of an object store, such as `s3://bucket/folder`, stands for files there in the same way; texts in a folder
      are a file each.
    - A pattern that the shell has not replaced (`*`, `?`, `[...]`, and `**` for folders) stands for what it matches.

    Args:
        is_read: whether a file is read, by its name.
        whole_folders: whether a folder of brat, of the `datasets` library, or of texts alone is one input, which its
            reader opens as a whole.

    Raises:
        DataError: a folder has no file that is read, or nothing matches a pattern.
    """
    return [file for argument in given for file in _files_of(argument, is_read, whole_folders=whole_folders)]


def _files_of(argument: str, is_read: Callable[[str], bool], *, whole_folders: bool) -> Iterator[str]:
    if is_url(argument):
        found = sorted(files_at(argument), key=_place)
        yield from found if found == [argument] else filter(is_read, found)
    elif os.path.isdir(argument):
        found = list(_files_in(argument, is_read, whole_folders=whole_folders))
        if not found:
            raise DataError(argument, None, "there is no file to read in this folder", "give files, or name the format")
        yield from found
    elif argument == STANDARD_INPUT or os.path.lexists(argument) or glob.escape(argument) == argument:
        # What is missing is told of by the reader.
        yield argument
    else:
        # The files of the folders that match `**` match it, too.
        matches = [
            match
            for match in sorted(glob.glob(argument, recursive=True), key=_place)
            if os.path.lexists(match) and not ("**" in argument and os.path.isdir(match))
        ]
        if not matches:
            raise DataError(
                argument, None, "there is no such file, and nothing that it matches as a pattern", "check the path"
            )
        for match in matches:
            yield from _files_of(match, is_read, whole_folders=whole_folders)


def _files_in(folder: str, is_read: Callable[[str], bool], *, whole_folders: bool) -> Iterator[str]:
    if whole_folders and (is_brat_folder(folder) or is_datasets_folder(folder)):
        yield folder
        return
    found: list[str] = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=by_number)
        whole = whole_folders and place != folder and (is_brat_folder(place) or is_datasets_folder(place))
        if whole:
            folders.clear()
            found.append(place)
            continue
        names = sorted((name for name in files if not name.startswith(".")), key=by_number)
        found += [path for name in names if is_read(path := os.path.join(place, name)) and os.path.isfile(path)]
    if whole_folders and found and all(is_text_file(path) and os.path.isfile(path) for path in found):
        # Texts and their classes, as the reader of such a folder has them.
        yield folder
        return
    yield from found


def _place(path: str) -> list[tuple[bool, tuple[int, str]]]:
    """Where a path stands in the order of a folder's files, which come before those of its folders."""
    *folders, name = path.split(os.sep)
    return [*((True, by_number(folder)) for folder in folders), (False, by_number(name))]
