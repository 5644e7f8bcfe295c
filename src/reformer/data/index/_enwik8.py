"""enwik8 by split."""

from dataclasses import replace

from reformer.data.errors import DataError
from reformer.data.index._archive import fetch
from reformer.data.index._registry import DATA_SETS
from reformer.data.texts import Stretch, find_text

ENWIK8_SPLITS = {"train": (0, 90_000_000), "validation": (90_000_000, 95_000_000), "test": (95_000_000, 100_000_000)}


def load_texts(source: str) -> dict[str, list[Stretch]]:
    """The running text of a data set such as `index:enwik8` by split (90, 5 and 5 million bytes, by position).

    Raises:
        DataError: no such data set, one without running text, or it could not be fetched.
    """
    name = source.removeprefix("index:")
    if name != "enwik8":
        known = "" if name in DATA_SETS else "there is no such data set; "
        raise DataError(None, None, f"{source}: {known}a language model needs running text", "use index:enwik8")
    [whole] = find_text(str(fetch(name) / "enwik8.gz"))
    return {split: [replace(whole, start=start, stop=stop)] for split, (start, stop) in ENWIK8_SPLITS.items()}
