"""State file of an interrupted scoring: tensors and plain numbers, written whole or not at all."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from reformer.errors import ReformerError
from reformer.files import replaced

# Key of the numbers in the file's metadata, and the version of their layout.
ENTRY, LAYOUT = "reformer-score", 1


class _Result(BaseModel, strict=True):
    """What is read again of the result of a text that is finished."""

    model_config = ConfigDict(extra="allow")

    file: str
    bytes: int
    digest: str


class _Totals(BaseModel, strict=True, extra="forbid"):
    position: int
    tokens: int
    predicted: int
    first_bytes: int
    loss: float


class _Numbers(BaseModel, strict=True, extra="forbid"):
    """Fields of a state without its tensors, as the file's metadata has them."""

    layout: Literal[1]
    run: str
    piece: int
    done: list[_Result]
    digest: str | None
    totals: _Totals | None
    per_token: int | None = None


@dataclass
class ScoreState:
    """Results and position of a scoring, from which it can continue.

    Args:
        run: the fingerprint of the model and its tokenizer.
        piece: how many bytes are read at a time.
        done: the results of the texts that are finished, each with the `digest` of its bytes.
        digest, totals: of the text that is being scored; None between two texts.
        per_token: the length of the file of token scores; None without one.
        tensors: the model's memory of the text that is being scored.
    """

    run: str
    piece: int
    done: list[dict[str, Any]] = field(default_factory=list)
    digest: str | None = None
    totals: dict[str, float] | None = None
    per_token: int | None = None
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Replace the state in the file, in one step.

        Raises:
            ReformerError: it cannot be written; the former state stays.
        """
        numbers = asdict(self) | {"layout": LAYOUT}
        del numbers["tensors"]
        data = save(self.tensors, {ENTRY: json.dumps(numbers)})
        try:
            with replaced(path) as file:
                file.write(data)
        except OSError as error:
            raise ReformerError(
                f"{path}: the state cannot be written ({error.strerror or error}); the one before, if any, is kept; "
                "make room, then give the same command again"
            ) from None


def read_state(path: Path, run: str, piece: int) -> ScoreState:
    """The state in a file, made by the run with that fingerprint and for pieces of that size.

    Raises:
        ReformerError: it is no such state.
    """
    try:
        with safe_open(path, framework="pt") as file:
            numbers = from_json(file.metadata()[ENTRY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        # Earlier versions wrote this name; without the new one their states could not be continued.
        if numbers["totals"] and "foretold" in numbers["totals"]:
            numbers["totals"]["predicted"] = numbers["totals"].pop("foretold")
        checked = _Numbers.model_validate(numbers).model_dump(exclude={"layout"})
        # In their own order, so that the scores of a resumed run are the same file.
        state = ScoreState(**checked | {"done": numbers["done"]}, tensors=tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        raise ReformerError(
            f"{path}: this is no state that `reformer score` has written; give another --state, or delete it"
        ) from None
    if state.run != run:
        raise ReformerError(f"{path}: this state was made with another model; give that run, or another --state")
    if state.piece != piece:
        raise ReformerError(
            f"{path}: this state was made with --piece {state.piece}; give the same, so that every number stays the "
            "same, or another --state"
        )
    return state
