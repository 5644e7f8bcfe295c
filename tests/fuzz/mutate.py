"""Mutations of inputs that were valid: of bytes, of JSON values, and of the header of safetensors."""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

LONGEST = 1 << 16

NUMBERS = (
    *("0", "-1", "1", "2", "255", "65536", "2147483648", "9223372036854775807", "9223372036854775808"),
    *("-9223372036854775808", "99999999999999999999999", "1e9", "1e309", "-1e309", "1e-400", "NaN", "Infinity", "0.5"),
    *("1" * 5000, "true", "null", '"x"', "[]", "{}", "nan", "inf", "-", "0x10"),
)
PIECES = (
    *(b"\x00", b"\xff", b"\xef\xbb\xbf", b"\n", b"\r", b"\r\n", b"\t", b" ", b'"', b"'", b",", b"\\", b"[", b"{", b"]"),
    *(
        b"}",
        b"=",
        b"#",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x91\x8d",
        b"\xe2\x80\xae",
        b"\xe2\x80\xa8",
        b"\x1b[2J",
        b"\xc2\x85",
    ),
    *(
        b"\\ud800",
        b"\\u0000",
        b"../",
        b"/dev/null",
        b"index:",
        b"B-",
        b"I-",
        b"O",
        b"-DOCSTART-",
        b"[" * 3000,
        b"(" * 200,
    ),
    *(
        b'{"a":' * 3000,
        b"a" * 5000,
        b"\xe4\xba\xac" * 50,
        b"1999-02-30",
        b"9999-12-31",
        b"0001-01-01",
        b"spans",
        b"label",
    ),
)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        3,
        7,
        255,
        1 << 31,
        1 << 62,
        1 << 63,
        -(1 << 63),
        10**30,
        10**9,
        0.5,
        -0.5,
        1e308,
    ),
    *(
        float("nan"),
        float("inf"),
        1e-320,
        "",
        "x",
        "北京",
        "../../etc",
        "org/kernel",
        "float32",
        "load",
        "\ud800",
        "a" * 300,
    ),
    *("(a+)+$", "[", "lsh", "full", "none", [], {}, [0], [1, 2], ["lsh"] * 5, ["local"] * 3000, [[]], [None], {"a": 1}),
    *({"0": "x"}, {"a": {"b": []}}, [10**9] * 3, [0.1, 0.5, 0.9], ["x"] * 2, -(10**9), 1 << 20, 4096, 64, 16, 8),
)


def mutated_bytes(
    data: bytes, pick: random.Random, others: Sequence[bytes] = (), pieces: Sequence[bytes] = ()
) -> bytes:
    """The bytes after one to six random changes."""
    for _ in range(pick.choice((1, 1, 2, 3, 6))):
        data = pick.choice(_CHANGES)(data, pick, others, (*PIECES, *pieces))[:LONGEST]
    return data


def _flip(data: bytes, pick: random.Random, others: Sequence[bytes], pieces: Sequence[bytes]) -> bytes:
    if not data:
        return data
    place = pick.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << pick.randrange(8))]) + data[place + 1 :]


def _insert(data: bytes, pick: random.Random, others: Sequence[bytes], pieces: Sequence[bytes]) -> bytes:
    place = pick.randint(0, len(data))
    return data[:place] + pick.choice(pieces) + data[place:]


def _noise(data: bytes, pick: random.Random, others: Sequence[bytes], pieces: Sequence[bytes]) -> bytes:
    place = pick.randint(0, len(data))
    return data[:place] + pick.randbytes(pick.randint(1, 16)) + data[place + pick.choice((0, 8)) :]


def _cut(data: bytes, pick: random.Random, others: Sequence[bytes], pieces: Sequence[bytes]) -> bytes:
    first, last = sorted((pick.randint(0, len(data)), pick.randint(0, len(data))))
    return data[:first] + data[last:]


def _shorten(data: bytes, pick: random.Random, others: Sequence[bytes], pieces: Sequence[bytes]) -> bytes:
    return data[: pick.randint(0, len(data))]


def _repeat(data: bytes, pick: random.Random, others: Sequence[bytes], pieces: Sequence[bytes]) -> bytes:
    first, last = sorted((pick.randint(0, len(data)), pick.randint(0, len(data))))
    return data[:last] + data[first:last] * pick.choice((1, 2, 50)) + data[last:]


def _splice(data: bytes, pick: random.Random, others: Sequence[bytes], pieces: Sequence[bytes]) -> bytes:
    other = pick.choice(others) if others else data
    return data[: pick.randint(0, len(data))] + other[pick.randint(0, len(other)) :]


def _number(data: bytes, pick: random.Random, others: Sequence[bytes], pieces: Sequence[bytes]) -> bytes:
    """Another value in place of a number, or of a word after a colon, a comma or an equals sign."""
    places = [place for place, byte in enumerate(data) if byte in b"0123456789"]
    if not places:
        return data
    first = last = pick.choice(places)
    while last < len(data) and data[last] in b"0123456789.":
        last += 1
    return data[:first] + pick.choice(NUMBERS).encode() + data[last:]


def _lines(data: bytes, pick: random.Random, others: Sequence[bytes], pieces: Sequence[bytes]) -> bytes:
    lines = data.splitlines(keepends=True)
    pick.shuffle(lines)
    return b"".join(lines)


_CHANGES: tuple[Callable[[bytes, random.Random, Sequence[bytes], Sequence[bytes]], bytes], ...] = (
    *(_flip, _insert, _insert, _noise, _cut, _shorten, _repeat, _splice, _number, _number, _lines),
)


def mutated_value(value: Any, pick: random.Random, names: Sequence[str] = ()) -> Any:
    """A JSON value after one to three random changes somewhere inside.

    Args:
        names: of fields that may appear.
    """
    for _ in range(pick.choice((1, 1, 2, 3))):
        value = _changed(value, pick, names)
    return value


def _changed(value: Any, pick: random.Random, names: Sequence[str]) -> Any:
    inside = isinstance(value, dict | list) and len(value) > 0 and pick.random() < 0.9
    if not inside:
        return pick.choice(VALUES)
    if isinstance(value, list):
        place, changed = pick.randrange(len(value)), list(value)
        what = pick.random()
        if what < 0.6:
            changed[place] = _changed(changed[place], pick, names)
        elif what < 0.8:
            del changed[place]
        else:
            changed *= pick.choice((2, 3, 100)) if len(value) < 50 else 1
        return changed
    name, changed = pick.choice(list(value)), dict(value)
    what = pick.random()
    if what < 0.65:
        changed[name] = _changed(changed[name], pick, names)
    elif what < 0.75:
        del changed[name]
    elif what < 0.8:
        changed = {
            pick.choice(("", "x", "a.b", "\n", name + "_")) if key == name else key: changed[key] for key in value
        }
    else:
        changed[pick.choice(names) if names else pick.choice(list(value))] = pick.choice(VALUES)
    return changed


def mutated_json(data: bytes, pick: random.Random, names: Sequence[str] = ()) -> bytes:
    """A JSON document with another value inside, or with other bytes."""
    if pick.random() < 0.25:
        return mutated_bytes(data, pick)
    return as_json(mutated_value(json.loads(data), pick, names))


def as_json(value: Any) -> bytes:
    """JSON in which half a surrogate pair stays what it is."""
    return json.dumps(value).encode()


def mutated_safetensors(data: bytes, pick: random.Random) -> bytes:
    """A safetensors file with another header, another length of it, or other bytes."""
    if pick.random() < 0.3:
        return mutated_bytes(data, pick)
    length = int.from_bytes(data[:8], "little")
    header, rest = data[8 : 8 + length], data[8 + length :]
    if pick.random() < 0.8:
        header = mutated_json(header, pick, ("dtype", "shape", "data_offsets", "__metadata__", "F64", "I64", "BOOL"))
    told = len(header) if pick.random() < 0.85 else pick.choice((0, 1, 7, len(header) + 1, 10**8, 2**63, 2**64 - 1))
    return told.to_bytes(8, "little") + header + (rest if pick.random() < 0.9 else rest[: pick.randint(0, len(rest))])
