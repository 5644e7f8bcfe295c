"""Texts, whole numbers, lists and tuples out of a pickle, read from its opcodes: nothing in it can be called."""

import pickletools
from typing import Any

_VALUES = frozenset(
    {
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
    }
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_SHORT_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NO_EFFECT = frozenset({"PROTO", "FRAME"})


def read_pickled_texts(data: bytes) -> Any:
    """The lists and tuples of texts and whole numbers that a pickle holds.

    Python's own unpickler is not used, as it imports and calls what a file names. Here an opcode that would do so, or
    that makes anything but the values above, is an error.

    Raises `ValueError` with the opcode and its place in the file, and for a file that ends early or is no pickle.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}

    def above_mark() -> list[Any]:
        start = marks.pop()
        values, stack[start:] = stack[start:], []
        return values

    try:
        for opcode, argument, place in pickletools.genops(data):
            name = opcode.name
            if name in _VALUES:
                stack.append(_CONSTANTS.get(name, argument))
            elif name == "MARK":
                marks.append(len(stack))
            elif name == "EMPTY_LIST":
                stack.append([])
            elif name in _SHORT_TUPLES:
                start = len(stack) - _SHORT_TUPLES[name]
                if start < 0:
                    raise ValueError(f"{name} at byte {place} has too few values before it")
                stack[start:] = [tuple(stack[start:])]
            elif name == "TUPLE":
                stack.append(tuple(above_mark()))
            elif name == "APPENDS":
                values = above_mark()
                stack[-1].extend(values)
            elif name == "APPEND":
                value = stack.pop()
                stack[-1].append(value)
            elif name in ("BINPUT", "LONG_BINPUT"):
                memo[argument] = stack[-1]
            elif name == "MEMOIZE":
                memo[len(memo)] = stack[-1]
            elif name in ("BINGET", "LONG_BINGET"):
                stack.append(memo[argument])
            elif name == "STOP":
                return stack.pop()
            elif name not in _NO_EFFECT:
                raise ValueError(f"{name} at byte {place}: only lists and tuples of texts and whole numbers are read")
    except (IndexError, KeyError, AttributeError) as error:
        raise ValueError(f"not a pickle of texts: {error}") from error
    raise ValueError("a pickle without its end")
