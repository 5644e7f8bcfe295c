"""Parquet files and folders of the `datasets` library: their rows as records."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reformer.data.errors import DataError
from reformer.data.remote import is_url, open_url

ROWS_AT_A_TIME = 1024


def is_datasets_folder(path: str) -> bool:
    """Whether a folder is one that `save_to_disk` of the `datasets` library has written, or has Parquet files in it."""
    folder = Path(path)
    return folder.is_dir() and any(
        (folder / name).is_file() for name in ("dataset_dict.json", "dataset_info.json", "state.json")
    ) | bool(folder.is_dir() and next(folder.glob("*.parquet"), None))


def parquet_records(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a Parquet file, or of a folder of `datasets`, each with its number from 1; numbers of classes are
    their names, where the file has these.

    Raises:
        DataError: pyarrow is not installed, the folder has several parts, or a file cannot be read.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError:
        raise DataError(
            path, None, "pyarrow, which reads this, is not installed", "pip install 'reformer-torch[parquet]'"
        ) from None
    if (Path(path) / "dataset_dict.json").is_file():
        parts = sorted(file.name for file in Path(path).iterdir() if file.is_dir())
        raise DataError(path, None, "the folder has several parts", f"give one of them: {', '.join(parts)}")
    number = 0
    try:
        for file in [path] if is_url(path) else _files(path):
            if isinstance(file, Path) and file.suffix == ".arrow":
                with pa.memory_map(str(file)) as stream:
                    reader = pa.ipc.open_stream(stream)
                    names = _class_names(reader.schema)
                    batches = iter(reader)
                    for batch in batches:
                        for record in batch.to_pylist():
                            number += 1
                            yield number, _named(record, names)
                continue
            opened = pyarrow.parquet.ParquetFile(open_url(file) if isinstance(file, str) else file)
            names = _class_names(opened.schema_arrow)
            for batch in opened.iter_batches(ROWS_AT_A_TIME):
                for record in batch.to_pylist():
                    number += 1
                    yield number, _named(record, names)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(path, None, f"cannot be read ({reason})", "make or fetch the file anew") from None


def _files(path: str) -> list[Path]:
    folder = Path(path)
    if not folder.is_dir():
        return [folder]
    return sorted(folder.glob("*.arrow")) or sorted(folder.glob("*.parquet"))


def _class_names(schema: Any) -> dict[str, list[str]]:
    """The names of the classes that a column's numbers stand for, by column, as `datasets` keeps them."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    found = {}
    for column, feature in features.items():
        inner = feature.get("feature", feature) if isinstance(feature, dict) else feature
        inner = inner[0] if isinstance(inner, list) and inner else inner
        if isinstance(inner, dict) and isinstance(inner.get("names"), list):
            found[column] = inner["names"]
    return found


def _named(record: dict[str, Any], names: dict[str, list[str]]) -> dict[str, Any]:
    def name(value: Any, known: list[str]) -> Any:
        if isinstance(value, list):
            return [name(each, known) for each in value]
        # -1 stands for a class that is not known.
        return known[value] if isinstance(value, int) and 0 <= value < len(known) else None

    return {column: name(value, names[column]) if column in names else value for column, value in record.items()}
