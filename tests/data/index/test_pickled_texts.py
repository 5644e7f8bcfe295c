"""Pickles of texts are read as Python reads them; all others are refused, and none can call anything."""

import pickle
import random
from contextlib import suppress
from pathlib import Path

import pytest

from reformer.data.index._pickled_texts import read_pickled_texts

SAME = "相同"


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value",
    [
        [],
        (),
        "文",
        ["a" * 300, "𝄞", "", 0, 255, 256, 70_000, -1, 2**80, None, True, False],
        (["T", "U"], ["one", "two"], [1, 0]),
        ((1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        [SAME, SAME, [SAME]],
        [["x"] * 3, list(map(str, range(3000)))],
    ],
)
def test_values_are_those_that_python_reads(value, protocol):
    assert read_pickled_texts(pickle.dumps(value, protocol)) == value


class Call:
    def __reduce__(self):
        return (Path.touch, (Path("called"),))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [Call(), [Call()], random.Random(), {"a": 1}, {1}, 1.5, b"bytes", print])
def test_what_is_no_text_list_or_number_is_refused_and_called_by_nobody(value, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="only lists and tuples of texts and whole numbers are read"):
        read_pickled_texts(pickle.dumps(value, protocol))
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_a_value_error():
    data = pickle.dumps((["T", "U"], ["one", "two"], [1, 0]))
    for end in range(len(data)):
        with pytest.raises(ValueError, match=r"."):
            read_pickled_texts(data[:end])
    changes = random.Random(0)
    for _ in range(3000):
        damaged = bytearray(data)
        damaged[changes.randrange(len(data))] = changes.randrange(256)
        with suppress(ValueError):
            read_pickled_texts(bytes(damaged))
