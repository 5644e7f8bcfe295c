"""Pixels of image files of every depth: black is 0 and white is 1, seen upright and on white paper."""

import gzip

import numpy as np
import pytest
from PIL import Image as Pillow

from reformer.data import DataError, read_images
from reformer.data.readers import _images

RAMP = np.linspace(0, 65535, 12).astype(np.uint16).reshape(3, 4)
# The tag of the orientation in EXIF; 6: the first row is at the right.
ORIENTATION, TURNED = 274, 6


def _read(image: Pillow.Image, path, **options) -> np.ndarray:
    image.save(path, **options)
    [found] = read_images(str(path))
    return found.pixels


@pytest.mark.parametrize("name", ["g.png", "g.tiff"])
def test_grey_of_16_bits_is_scaled_by_its_depth(tmp_path, name):
    pixels = _read(Pillow.fromarray(RAMP), tmp_path / name)
    assert pixels.dtype == np.float32
    assert pixels.shape == (1, 3, 4)
    assert np.allclose(pixels[0], RAMP / 65535)
    assert np.unique(pixels).size == 12


def test_a_graymap_with_a_maximum_of_its_own_is_scaled_by_it(tmp_path):
    (tmp_path / "g.pgm").write_bytes(b"P5 2 1 1000\n" + np.array([500, 1000], ">u2").tobytes())
    [found] = read_images(str(tmp_path / "g.pgm"))
    assert np.allclose(found.pixels, [[[0.5, 1]]], atol=1e-4)


def test_floats_are_from_0_to_1_or_refused(tmp_path):
    values = np.array([[0, 0.25], [0.5, 1]], np.float32)
    assert np.array_equal(_read(Pillow.fromarray(values), tmp_path / "f.tiff")[0], values)
    with pytest.raises(DataError, match=r"g\.tiff: its numbers go from 0 to 255, expected 0 to 1; save it"):
        _read(Pillow.fromarray(values * 255), tmp_path / "g.tiff")
    with pytest.raises(DataError, match="its numbers go from nan to nan"):
        _read(Pillow.fromarray(values * np.float32("nan")), tmp_path / "n.tiff")


def test_whole_numbers_of_32_bits_are_refused(tmp_path):
    with pytest.raises(DataError, match="signed or 32-bit whole numbers, of which nothing says what white is"):
        _read(Pillow.fromarray(np.array([[0, 70000]], np.int32)), tmp_path / "i.tiff")


def test_what_is_transparent_lies_on_white(tmp_path):
    colour = np.array([[[255, 0, 0, 255], [0, 0, 0, 0], [0, 0, 255, 51]]], np.uint8)
    pixels = _read(Pillow.fromarray(colour), tmp_path / "a.png")
    assert np.allclose(pixels[:, 0].T, [[1, 0, 0], [1, 1, 1], [0.8, 0.8, 1]])
    grey = np.array([[[0, 255], [0, 0], [100, 255]]], np.uint8)
    pixels = _read(Pillow.fromarray(grey), tmp_path / "la.png")
    assert np.allclose(pixels, [[[0, 1, 100 / 255]]])


def test_a_transparent_grey_of_a_file_is_white(tmp_path):
    pixels = _read(Pillow.fromarray(np.array([[0, 7, 9]], np.uint8)), tmp_path / "t.png", transparency=7)
    assert np.allclose(pixels, [[[0, 1, 9 / 255]]])
    pixels = _read(Pillow.fromarray(RAMP), tmp_path / "t16.png", transparency=int(RAMP[1, 1]))
    assert pixels[0, 1, 1] == 1
    assert pixels[0, 1, 0] == np.float32(RAMP[1, 0] / 65535)


def test_palettes_are_colours_and_may_be_transparent(tmp_path):
    image = Pillow.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    assert np.array_equal(_read(image, tmp_path / "p.png")[:, 0], np.eye(3))
    pixels = _read(image, tmp_path / "t.png", transparency=1)
    assert pixels[:, 0].T.tolist() == [[1, 0, 0], [1, 1, 1], [0, 0, 1]]


@pytest.mark.parametrize("name", ["e.png", "e.webp", "e16.png"])
def test_an_image_is_turned_as_its_exif_entry_says(tmp_path, name):
    values = RAMP if "16" in name else (RAMP >> 8).astype(np.uint8)
    exif = Pillow.Exif()
    exif[ORIENTATION] = TURNED
    options = {"lossless": True} if name.endswith("webp") else {}
    pixels = _read(Pillow.fromarray(values), tmp_path / name, exif=exif, **options)
    assert pixels.shape == (3 if options else 1, 4, 3)
    assert np.allclose(pixels[0], np.rot90(values, -1) / (65535 if "16" in name else 255))


UPRIGHT = {
    1: lambda image: image,
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).T,
    8: np.rot90,
}
"""What the orientations of TIFF 6.0 (section 8, tag 274) ask of whoever shows the image."""


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("kind", ["grey", "16 bits", "float", "colour", "transparent"])
def test_a_tiff_is_turned_as_its_tag_says(tmp_path, kind, compression, orientation):
    grey = np.linspace(0, 255, 12).astype(np.uint8).reshape(3, 4)
    colour = np.repeat(grey[..., None], 3, -1)
    values = {
        "grey": grey,
        "16 bits": grey.astype(np.uint16) * 257,
        "float": grey.astype(np.float32) / 255,
        "colour": colour,
        "transparent": np.concatenate((colour, np.full((3, 4, 1), 255, np.uint8)), -1),
    }
    options = {"tiffinfo": {ORIENTATION: orientation}, "compression": compression}
    pixels = _read(Pillow.fromarray(values[kind]), tmp_path / "t.tiff", **options)
    assert pixels.shape[1:] == UPRIGHT[orientation](grey).shape
    assert np.allclose(pixels[0], UPRIGHT[orientation](grey) / 255)


def test_an_image_of_too_many_pixels_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    """A PNG of zeros is a thousand times as large in memory as on disk; its head says how large."""
    Pillow.fromarray(np.zeros((1 << 11, 1 << 11), np.uint8)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(_images, "MOST_PIXELS", (1 << 22) - 1)
    monkeypatch.setattr(_images, "_scaled", None)
    with pytest.raises(
        DataError, match=r"bomb\.png: 2,048 x 2,048 pixels, and 4,194,303 at most are read; scale it down"
    ):
        list(read_images(str(tmp_path / "bomb.png")))


def test_an_image_that_another_program_would_run_is_refused(tmp_path):
    (tmp_path / "page.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(DataError, match="no image that can be read"):
        list(read_images(str(tmp_path / "page.png")))


@pytest.mark.parametrize("sides", [(2**32 - 1,) * 3, (2**22, 2**21, 2**21)], ids=["2^96", "a product of 0 in 64 bits"])
def test_an_idx_file_that_announces_more_than_it_has_is_refused(sides, tmp_path):
    head = bytes((0, 0, 8, 3)) + b"".join(side.to_bytes(4, "big") for side in sides)
    (tmp_path / "a-images-idx3-ubyte").write_bytes(head)
    with pytest.raises(DataError, match=r"0 bytes after its head, which announces [\d,]{20,}"):
        list(read_images(str(tmp_path / "a-images-idx3-ubyte")))


def test_an_idx_file_is_unpacked_to_a_bound(tmp_path, monkeypatch):
    (tmp_path / "a-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(1 << 22)))
    monkeypatch.setattr(_images, "MOST_IDX_BYTES", 1 << 20)
    with pytest.raises(DataError, match="over 1,048,576 bytes; divide it"):
        list(read_images(str(tmp_path / "a-images-idx3-ubyte.gz")))
