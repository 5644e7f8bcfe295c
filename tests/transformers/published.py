"""The tests that transformers publishes, laid out as the package `tests` that they take themselves for."""

import importlib.metadata
import importlib.util
import re
import shutil
import tarfile
from pathlib import Path

from reformer.data.index._archive import archive_path
from reformer.data.index._registry import Archive

ARCHIVE = Archive(
    package="transformers",
    version="5.23.0",
    file="transformers-5.23.0.tar.gz",
    size=10_614_788,
    sha256="19d647a4d5d903a7c644ca5cde2d86efc3dde7d8c687ae7988806ff2205efa71",
)
PUBLISHED = re.compile(r"transformers-[\d.]+/tests/(test_\w+\.py)")
"""A file of tests in the source distribution, which has those at the top of the folder alone."""
LARGEST = 1 << 20

OWN = {"utils/test_configuration_utils.py": 'config_common_kwargs = {"return_dict": False, "num_labels": 7}\n'}
"""Written in place of files that a checkout has, since they import what lies elsewhere in it."""
MISSING = {
    "generation/test_utils.py": "class GenerationTesterMixin:\n    pass\n",
    "exporters/test_export.py": "class ExportTesterMixin:\n    pass\n",
}
"""Written where nothing else is: what the published files import of those that are not published."""


def archive(folder: Path) -> Path:
    """The source distribution of the transformers that is installed, fetched if it is not in the folder.

    Raises:
        ValueError: another version is installed.
        DataError: it could not be fetched, or is another file.
    """
    installed = importlib.metadata.version("transformers")
    if installed != ARCHIVE.version:
        raise ValueError(
            f"transformers {installed} is installed, and these are the tests of {ARCHIVE.version}; install that, as "
            "constraints.txt has it"
        )
    return archive_path(ARCHIVE, folder, progress=True)


def lay_out(archive: Path, folder: Path, checkout: Path | None) -> None:
    """Fill a new folder: `tests` with the files of the archive, `src/transformers` with the installed package.

    Args:
        archive: the source distribution. Nothing of it is run or installed; its files get names of their own.
        folder: removed first if it is there.
        checkout: the folder `tests` of transformers' repository, of which what the archive has not is taken.

    Raises:
        ValueError: that is another folder, or the archive has no tests.
    """
    if checkout is not None and not (checkout / "generation" / "test_utils.py").is_file():
        raise ValueError(
            f"{checkout}: no generation/test_utils.py in it; give the folder tests of a checkout of transformers"
        )
    shutil.rmtree(folder, ignore_errors=True)
    tests, sources = folder / "tests", folder / "src"
    tests.mkdir(parents=True)
    sources.mkdir()
    package = importlib.util.find_spec("transformers")
    assert package is not None
    assert package.origin is not None
    (sources / "transformers").symlink_to(Path(package.origin).parent)
    _unpack(archive, tests)
    written = dict(OWN)
    if checkout is None:
        written |= MISSING
    else:
        # Some of its tests look there, beside their own folder.
        (folder / "utils").symlink_to(checkout.resolve().parent / "utils")
        taken = {name.partition("/")[0] for name in OWN}
        for entry in sorted(checkout.resolve().iterdir()):
            if entry.name not in taken and not (tests / entry.name).exists():
                (tests / entry.name).symlink_to(entry)
    for name, text in written.items():
        (tests / name).parent.mkdir(exist_ok=True)
        (tests / name).write_text(text, encoding="utf-8")
        (tests / name).with_name("__init__.py").touch()
    (tests / "__init__.py").touch()


def _unpack(archive: Path, tests: Path) -> None:
    found = 0
    with tarfile.open(archive) as package:
        for member in package:
            name = PUBLISHED.fullmatch(member.name)
            if name is None or not member.isreg() or member.size > LARGEST:
                continue
            packed = package.extractfile(member)
            assert packed is not None
            (tests / name[1]).write_bytes(packed.read())
            found += 1
    if not found:
        raise ValueError(f"{archive}: no tests in it")
