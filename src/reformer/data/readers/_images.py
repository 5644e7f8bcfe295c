"""Reader of IDX files, image tables and image files."""

import gzip
import math
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reformer.data.errors import DataError, OnError, raise_error
from reformer.data.images import Image
from reformer.data.readers._source import Source
from reformer.data.readers._table import column_index, other_cells, table_rows
from reformer.data.standard_input import STANDARD_INPUT, open_standard_input
from reformer.wording import counted

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

_UNSIGNED_BYTES = 8
# Tags of TIFF.
_BITS_PER_SAMPLE, _SAMPLE_FORMAT = 258, 339
MOST_IDX_BYTES = 1 << 30
"""Bytes of an IDX file, unpacked, at most: it is held in memory."""
MOST_PIXELS = 1 << 26
"""Pixels of an image, at most: as floats of three channels they are 800 MB, and a file of a few bytes may announce
any number."""
_IMAGES, _LABELS = "images-idx3", "labels-idx1"


def read_images(
    path: str, *, label_column: str | None = "label", keeps_others: bool = False, on_error: OnError = raise_error
) -> Iterator[Image]:
    """The images of a file, in its order.

    - An IDX file (`*-images-idx3-ubyte`, `.gz` too) is read with the labels of the file beside it whose name has
      `labels-idx1` in its place, if there is one.
    - A table (`.csv`, `.tsv`) names an image a row in its column `file`, as seen from the table's folder, and its
      label in `label_column` (None: read none). With `keeps_others` an image has the other cells of its row.
    - Anything else is one image, as Pillow reads it. Grey ones have one channel, all others three. White is 1, in 16
      bits as in 8; floats are from 0 to 1. What is transparent lies on white, and an image is turned as its EXIF
      orientation says.

    Raises:
        DataError: file, line and remedy for whatever is wrong; with `on_error`, for the file as a whole alone.
    """
    name = Path(path).name.lower()
    if "idx3" in name or name.removesuffix(".gz").endswith(".idx"):
        yield from _read_idx(path, with_labels=label_column is not None)
    elif name.removesuffix(".gz").endswith((".csv", ".tsv")):
        yield from _read_table(path, label_column, on_error, keeps_others=keeps_others)
    else:
        yield Image(_pixels(path, path, None), Path(path).name, source=path)


def _read_idx(path: str, *, with_labels: bool) -> Iterator[Image]:
    images = _idx_array(path, 3)
    beside = Path(path).with_name(Path(path).name.replace(_IMAGES, _LABELS))
    labels = None
    if with_labels and beside.name != Path(path).name and beside.exists():
        labels = _idx_array(str(beside), 1)
        if len(labels) != len(images):
            problem = f"{counted(len(labels), 'label')}, and {counted(len(images), 'image')} in {Path(path).name}"
            raise DataError(beside, None, problem, "give the two files that belong together")
    for number, pixels in enumerate(images):
        label = None if labels is None else str(labels[number])
        yield Image(pixels[None].astype(np.float32) / 255, f"{Path(path).name}:{number}", label, path)


def _idx_array(path: str, dimensions: int) -> NDArray[np.uint8]:
    try:
        with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as file:
            data = file.read(MOST_IDX_BYTES + 1)
    except FileNotFoundError:
        raise DataError(path, None, "there is no such file", "check the path") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(path, None, f"cannot be read ({error})", "make or fetch the file anew") from None
    head = 4 + 4 * dimensions
    if len(data) > MOST_IDX_BYTES:
        raise DataError(path, None, f"over {MOST_IDX_BYTES:,} bytes", "divide it into several files")
    if len(data) < head or data[:4] != bytes((0, 0, _UNSIGNED_BYTES, dimensions)):
        kind = f"an IDX file of bytes in {dimensions} dimensions"
        raise DataError(path, None, f"it does not begin as {kind}", f"give {kind}")
    shape = struct.unpack(f">{dimensions}I", data[4:head])
    expected = math.prod(shape)
    if len(data) - head != expected:
        problem = f"{counted(len(data) - head, 'byte')} after its head, which announces {expected:,}"
        raise DataError(path, None, problem, "make or fetch the file anew")
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)


def _read_table(path: str, label_column: str | None, on_error: OnError, *, keeps_others: bool) -> Iterator[Image]:
    with Source(path) as source:
        rows = table_rows(source, "\t" if ".tsv" in path.lower() else ",", on_error)
        header_line, header = next(rows, (1, []))
        file_index = column_index(source, header, "file", header_line)
        label_index = None if label_column is None else column_index(source, header, label_column, header_line)
        for line, cells in rows:
            try:
                label = None if label_index is None else cells[label_index].strip()
                if label == "":
                    raise source.error(f"the column {label_column!r} is empty", "give the image a label", line)
                file = os.path.join(os.path.dirname(path), cells[file_index])
                others = other_cells(header, cells, (file_index, label_index)) if keeps_others else None
                yield Image(_pixels(file, path, line), cells[file_index], label, f"{path}:{line}", others=others)
            except DataError as error:
                on_error(error)


def _pixels(file: str, path: str, line: int | None) -> NDArray[np.float32]:
    """The pixels of an image file; what is wrong with it is said of the place that names it."""
    from PIL import Image as Pillow

    place = "" if line is None else f"{file}: "
    try:
        Pillow.init()
        # Of EPS Pillow has another program run what is in the file.
        formats = [name for name in Pillow.ID if name != "EPS"]
        with (
            warnings.catch_warnings(action="ignore", category=Pillow.DecompressionBombWarning),
            # Not by its name: Pillow maps named files into memory, and then reads TIFFs that lie on a side as noise.
            open_standard_input() if file == STANDARD_INPUT else open(file, "rb") as stream,
            Pillow.open(stream, formats=formats) as image,
        ):
            if image.width * image.height > MOST_PIXELS:
                told = f"{place}{image.width:,} x {image.height:,} pixels, and {MOST_PIXELS:,} at most are read"
                raise DataError(path, line, told, "scale it down")
            return _scaled(image)
    except DataError:
        raise
    except _RangeError as error:
        raise DataError(path, line, f"{place}{error}", "save it with 8 or 16 bits, or scale it to 0 to 1") from None
    # Pillow has many errors for broken files, of no common kind.
    except Exception as error:
        if isinstance(error, FileNotFoundError):
            problem = "there is no such file"
        elif isinstance(error, Pillow.UnidentifiedImageError):
            problem = "no image that can be read (of no known format)"
        else:
            problem = f"no image that can be read ({error})"
        raise DataError(path, line, place + problem, "give an image file, such as a PNG") from None


class _RangeError(ValueError):
    """Numbers of an image that nothing tells black and white of."""


def _scaled(image: "PillowImage") -> NDArray[np.float32]:
    """`[channels, height, width]` from 0 to 1, turned as its EXIF entry says, on white where it is transparent."""
    from PIL import ImageOps

    transparent = image.has_transparency_data
    grey, wide = image.mode in ("1", "L", "LA", "La"), image.mode in ("I", "F") or image.mode.startswith("I;16")
    # Read before it is turned, which makes an image without the facts of its file.
    white, key = (_white(image) if wide else 255), image.info.get("transparency")
    image = ImageOps.exif_transpose(image)
    if wide:
        found = np.asarray(image).astype(np.float64)
        if not (found.min() >= 0 and found.max() <= white):
            raise _RangeError(f"its numbers go from {found.min():g} to {found.max():g}, expected 0 to {white:g}")
        shown = found / white
        if isinstance(key, int):
            shown[found == key] = 1
        return shown[None].astype(np.float32)
    found = np.asarray(image.convert("RGBA" if transparent else "L" if grey else "RGB"))
    found = found.reshape(*found.shape[:2], -1)
    # A channel at a time: as floats, all at once take several times the image's memory.
    shown = np.empty((1 if grey else 3, *found.shape[:2]), np.float32)
    for channel in range(len(shown)):
        shown[channel] = found[:, :, channel]
        shown[channel] /= np.float32(255)
    if transparent:
        opaque = found[:, :, 3].astype(np.float32) / np.float32(255)
        # The colour under what is transparent is arbitrary, often black.
        shown *= opaque
        shown += 1 - opaque
    return shown


def _white(image: "PillowImage") -> float:
    """The number of white in an image of more than 8 bits.

    Raises:
        _RangeError: whole numbers of a size that has no usual range.
    """
    if image.mode == "F":
        return 1.0
    # TIFF alone has other depths; those of 12 bits are read into 16 as they are.
    tags = getattr(image, "tag_v2", None)
    bits = 16 if tags is None else tags.get(_BITS_PER_SAMPLE, (16,))[0]
    if bits > 16 or (tags is not None and tags.get(_SAMPLE_FORMAT, (1,))[0] != 1):
        raise _RangeError(f"its pixels are signed or {bits}-bit whole numbers, of which nothing says what white is")
    return 2.0**bits - 1
