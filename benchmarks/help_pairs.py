"""`python -m benchmarks.help_pairs EN ZH PAIRS.tsv`: pairs of texts from LibreOffice's help in two languages.

On Debian, `apt-get download libreoffice-help-en-us libreoffice-help-zh-cn` brings the two packages. Each argument is
such a `.deb`, which is read as data (nothing of it is written to disk or run), or a folder in which one was unpacked
with `dpkg-deb -x`. The texts are LibreOffice's (MPL 2.0) and no part of this project.
"""

import argparse
import csv
import io
import re
import sys
import tarfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from lxml import html

from reformer.errors import ReformerError

PAGE = re.compile(r"(?:^|/)help/[a-z]{2}(?:-[A-Z]{2})?/(text/.+\.html)$")
MOST_BYTES = 1 << 24
"""Of one page: what is larger is none."""

BLOCKS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6"})
OTHER_SYSTEMS = frozenset({"MAC", "UNIX", "WIN"})
"""Of a text that depends on the system, the readers' default is kept."""

HELD_OUT = {"validation": 0.005, "test": 0.03}
COLUMNS = ("split", "source", "target", "page", "paragraph")


@dataclass(frozen=True)
class Pair:
    """A paragraph in both languages, and where it stands."""

    source: str
    target: str
    page: str
    paragraph: str


def paragraphs(page: str) -> dict[str, str]:
    """The paragraphs and headings of a page of help by their ids, white space as single spaces."""
    if not page.strip():
        return {}
    tree = html.document_fromstring(page)
    for span in [span for span in tree.iter("span") if span.get("class") in OTHER_SYSTEMS]:
        # Another one may have held it.
        if span.getparent() is not None:
            span.drop_tree()
    for line_break in tree.iter("br"):
        line_break.tail = f" {line_break.tail or ''}"
    found: dict[str, str] = {}
    for block in tree.iter(*BLOCKS):
        name, text = block.get("id"), " ".join(block.text_content().split())
        if name is not None and text:
            found.setdefault(name, text)
    return found


def pages(package: Path) -> dict[str, str]:
    """The pages in a package or in a folder, by their path below the language's folder.

    Raises:
        ReformerError: it cannot be read, or no page of help is in it.
    """
    try:
        files = _in_folder(package) if package.is_dir() else _in_package(package)
        found = {place: content.decode("utf-8") for place, content in files}
    except (OSError, tarfile.TarError, UnicodeDecodeError, EOFError) as error:
        raise ReformerError(f"{package}: cannot be read ({error}); download the package anew") from error
    if not found:
        raise ReformerError(
            f"{package}: no page help/LANGUAGE/text/*.html in it; give a package libreoffice-help-LANGUAGE, or the "
            "folder that `dpkg-deb -x` has unpacked it to"
        )
    return found


def _in_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*.html")):
        place = PAGE.search(path.as_posix())
        # A link could lead out of the folder.
        if place and path.is_file() and not path.is_symlink() and path.stat().st_size <= MOST_BYTES:
            yield place[1], path.read_bytes()


def _in_package(package: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(_data_of(package.read_bytes(), package))) as archive:
        for member in archive:
            place = PAGE.search(member.name)
            file = archive.extractfile(member) if place and member.isfile() and member.size <= MOST_BYTES else None
            if place and file is not None:
                yield place[1], file.read()


def _data_of(package: bytes, name: Path) -> bytes:
    """The archive of files in a Debian package, which is an `ar` archive of three members."""
    if not package.startswith(b"!<arch>\n"):
        raise ReformerError(f"{name}: neither a folder nor a Debian package; give a .deb, or a folder")
    place = 8
    while place + 60 <= len(package):
        header = package[place : place + 60]
        size = header[48:58].strip()
        if not size.isdigit():
            break
        member = header[:16].decode("latin-1").strip().rstrip("/")
        if member in ("data.tar", "data.tar.xz", "data.tar.gz", "data.tar.bz2"):
            return package[place + 60 : place + 60 + int(size)]
        # Members begin at even places.
        place += 60 + int(size) + int(size) % 2
    raise ReformerError(f"{name}: no data.tar that Python opens; unpack it with `dpkg-deb -x` and give the folder")


def aligned(sources: dict[str, str], targets: dict[str, str]) -> Iterator[Pair]:
    """The paragraphs that both languages have in the same place and that were translated, in the pages' order."""
    for page in sorted(sources.keys() & targets.keys()):
        others = paragraphs(targets[page])
        for name, source in paragraphs(sources[page]).items():
            target = others.get(name)
            if target is not None and _is_translated(source, target):
                yield Pair(source, target, page, name)


def _is_translated(source: str, target: str) -> bool:
    def chinese(text: str) -> bool:
        return any("一" <= character <= "鿿" for character in text)

    return any(map(str.isalpha, source)) and chinese(target) and not chinese(source)


def without_duplicates(pairs: Iterable[Pair]) -> list[Pair]:
    """One pair for each source: with the target that most of them have, the first of equals."""
    given: dict[str, list[Pair]] = {}
    for pair in pairs:
        given.setdefault(_bare(pair.source), []).append(pair)
    kept = []
    for alike in given.values():
        [(target, _)] = Counter(pair.target for pair in alike).most_common(1)
        kept.append(next(pair for pair in alike if pair.target == target))
    return kept


def split(pairs: list[Pair]) -> list[tuple[str, Pair]]:
    """Each pair with its split. Pairs whose sources or whose targets differ by no more than case, digits, punctuation
    and spaces are in the same one, which a hash of the text decides, so that it is the same on every machine."""
    first: dict[tuple[str, str], int] = {}
    heads = list(range(len(pairs)))

    def head(number: int) -> int:
        while heads[number] != number:
            heads[number] = number = heads[heads[number]]
        return number

    for number, pair in enumerate(pairs):
        for side in (("source", _bare(pair.source)), ("target", _bare(pair.target))):
            heads[head(number)] = head(first.setdefault(side, number))
    return [(_drawn(_bare(pairs[head(number)].source)), pair) for number, pair in enumerate(pairs)]


def _bare(text: str) -> str:
    """The letters of a text alone; of a text without any, the text."""
    letters = (char for char in unicodedata.normalize("NFKC", text).casefold() if char.isalpha())
    return "".join(letters) or text


def _drawn(text: str) -> str:
    part = int.from_bytes(sha256(text.encode()).digest()[:8], "big") / 2**64
    for name, share in HELD_OUT.items():
        if part < share:
            return name
        part -= share
    return "train"


def write(pairs: Iterable[tuple[str, Pair]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        for part, pair in pairs:
            writer.writerow([part, pair.source, pair.target, pair.page, pair.paragraph])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.help_pairs", description=__doc__)
    parser.add_argument("source", type=Path, help="the package or folder in the language to translate from")
    parser.add_argument("target", type=Path, help="the one in Chinese")
    parser.add_argument("pairs", type=Path, help="the TSV to write")
    given = parser.parse_args(arguments)
    try:
        found = list(aligned(pages(given.source), pages(given.target)))
        made = split(without_duplicates(found))
        write(made, given.pairs)
    except (ReformerError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    counts = Counter(part for part, _ in made)
    told = ", ".join(f"{counts[part]:,} {part}" for part in ("train", *HELD_OUT))
    print(f"{len(found):,} paragraphs in both languages, {len(made):,} without duplicates: {told}; in {given.pairs}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
