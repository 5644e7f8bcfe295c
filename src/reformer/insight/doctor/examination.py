"""Search for the greatest deviation of a promised property, and for the smallest input on which it is broken."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from reformer.insight.doctor.subject import Size, Subject
from reformer.models.progress_bars import no_load_report

LENGTHS = (1, 2, 3, 5, 17, 40, 64, 130)
"""Lengths that are tried, as far as the model reads them."""

BATCH = 2
TRIED_SMALLER = 40
"""Lengths below one that fails that are tried, at most, for the smallest."""

OTHER_DRAWS = 3
"""Draws of other inputs, of which one has to hold in float32 where float64 holds and the first draw did not."""

EXACT = 1e-9
"""The bound in float64, unless a property has its own."""


@dataclass(frozen=True)
class Deviation:
    """How far two computations are apart that are promised to be equal.

    Args:
        value: the greatest difference, relative to the greatest output; infinite where a call fails.
        row: of the batch, where it is.
        position: of the token, where it is; None for an output of a whole sequence.
        where: what was compared, in words, or the error of a call.
    """

    value: float
    row: int | None = None
    position: int | None = None
    where: str = ""


Measure = Callable[[Subject, Size], Deviation]
Refusal = Callable[[Subject], str | None]


@dataclass(frozen=True)
class Property:
    """A promise, and how its breach is measured.

    Args:
        name: in a word or two.
        promise: in a sentence.
        measure: the greatest deviation for inputs of a size.
        bound: in float32, or in the one precision that is tried.
        refusal: why it does not apply to a model, or None.
        exact: the bound in float64; None: it is not tried in float64.
        dtypes: the precisions to try.
    """

    name: str
    promise: str
    measure: Measure
    bound: float
    refusal: Refusal = lambda subject: None
    exact: float = EXACT
    dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float64)

    def limit(self, dtype: torch.dtype) -> float:
        """The greatest deviation that is none, in a precision."""
        return min(self.bound, self.exact) if dtype == torch.float64 else self.bound


@dataclass(frozen=True)
class Finding:
    """What was found of one property.

    Args:
        passed: None where it was not tried.
        deviation: the greatest, in the precision with the greatest share of its bound.
        bound: what it may be there.
        tried: lengths and precisions.
        smallest: for a failure the length, batch, row, position and precision of the smallest input that shows it.
        note: what was compared where it failed, or why it was not tried.
    """

    property: str
    promise: str
    passed: bool | None
    deviation: float | None = None
    bound: float | None = None
    tried: str = ""
    smallest: dict[str, Any] | None = None
    note: str = ""
    by_precision: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON has it, which knows no infinity."""
        found = asdict(self)
        if found["deviation"] is not None and not math.isfinite(found["deviation"]):
            found["deviation"] = None
        found["by_precision"] = {
            name: value if math.isfinite(value) else None for name, value in found["by_precision"].items()
        }
        return found


def examine(subject: Subject, properties: Iterable[Property], lengths: Sequence[int] = LENGTHS) -> Iterator[Finding]:
    """Try the properties one after the other.

    Args:
        lengths: those to try, in rising order; longer ones than the model reads are left out.
    """
    kept = [length for length in lengths if length <= subject.longest]
    for each in properties:
        # Some architectures tell of every length that they pad.
        with no_load_report():
            found = _finding(subject, each, kept)
        yield found


def _finding(subject: Subject, tried: Property, lengths: Sequence[int]) -> Finding:
    begun = Finding(tried.name, tried.promise, None)
    reason = tried.refusal(subject)
    if reason is not None:
        return replace(begun, note=reason)
    worst: dict[torch.dtype, Deviation] = {}
    notes = []
    for dtype in tried.dtypes:
        with subject.precision(dtype):
            found = _tried_at(subject, tried, dtype, lengths)
        if dtype == torch.float64 and len(tried.dtypes) > 1 and found.worst.value == math.inf:
            # Many models make float32 numbers inside; it is float32 in which they are used.
            notes.append(f"not in float64: {found.worst.where}")
            continue
        worst[dtype] = found.worst
        if found.smallest is not None:
            return replace(
                begun,
                passed=False,
                deviation=found.worst.value,
                bound=tried.limit(dtype),
                tried=_in_words(lengths, worst),
                smallest=_as_json(found.smallest, found.worst, dtype),
                note=found.worst.where,
                by_precision={_name(each): deviation.value for each, deviation in worst.items()},
            )
        if found.note:
            notes.append(found.note)
    shown = max(worst, key=lambda dtype: worst[dtype].value / max(tried.limit(dtype), 1e-30))
    return replace(
        begun,
        passed=True,
        deviation=worst[shown].value,
        bound=tried.limit(shown),
        tried=_in_words(lengths, worst),
        note="; ".join(notes),
        by_precision={_name(dtype): each.value for dtype, each in worst.items()},
    )


@dataclass(frozen=True)
class _Found:
    worst: Deviation
    smallest: Size | None = None
    note: str = ""


def _tried_at(subject: Subject, tried: Property, dtype: torch.dtype, lengths: Sequence[int]) -> _Found:
    """The worst deviation in a precision; where it is over the bound, that of the smallest input."""
    limit, worst, rounded, before = tried.limit(dtype), Deviation(0.0), 0, 0
    for length in lengths:
        size = Size(BATCH, length)
        found = _measured(subject, tried, size)
        if not found.value <= limit and dtype == torch.float32 and _is_rounding(subject, tried, size):
            rounded += 1
        elif not found.value <= limit:
            size, found = _smaller(subject, tried, dtype, size, found, before)
            return _Found(found, size)
        elif found.value >= worst.value:
            worst = found
        before = length
    note = f"at {rounded} of {len(lengths)} lengths a hash fell otherwise by rounding" if rounded else ""
    return _Found(worst, note=note)


def _smaller(
    subject: Subject, tried: Property, dtype: torch.dtype, size: Size, found: Deviation, before: int
) -> tuple[Size, Deviation]:
    """The smallest input that shows it: first the shortest, then the fewest rows."""
    limit = tried.limit(dtype)

    def fails(other: Size) -> Deviation | None:
        measured = _measured(subject, tried, other)
        is_excused = dtype == torch.float32 and _is_rounding(subject, tried, other)
        return None if measured.value <= limit or is_excused else measured

    between = list(range(before + 1, size.length))
    for length in between[:: max(1, math.ceil(len(between) / TRIED_SMALLER))]:
        shorter = fails(replace(size, length=length))
        if shorter is not None:
            size, found = replace(size, length=length), shorter
            break
    for batch in range(1, size.batch):
        fewer = fails(replace(size, batch=batch))
        if fewer is not None:
            return replace(size, batch=batch), fewer
    return size, found


def _is_rounding(subject: Subject, tried: Property, size: Size) -> bool:
    """Whether nothing but a hash's rounding is to blame: float64 holds for the same inputs, float32 for others."""
    if torch.float64 not in tried.dtypes:
        return False
    with subject.precision(torch.float64):
        if not _measured(subject, tried, size).value <= tried.limit(torch.float64):
            return False
    others = (replace(size, seed=seed) for seed in range(1, 1 + OTHER_DRAWS))
    return any(_measured(subject, tried, other).value <= tried.limit(torch.float32) for other in others)


def _measured(subject: Subject, tried: Property, size: Size) -> Deviation:
    try:
        return tried.measure(subject, size)
    except MemoryError:
        raise
    # Whatever a model raises for an input that it should take is what was found.
    except Exception as error:
        line = next(iter(str(error).strip().splitlines()), "")
        return Deviation(math.inf, where=f"{type(error).__name__}: {line[:200]}")


def greatest(found: Tensor, expected: Tensor, where: str, *, by_token: bool) -> Deviation:
    """The greatest difference of two answers, relative to the greatest number of them.

    Args:
        by_token: whether the second dimension is the tokens'.
    """
    if found.shape != expected.shape:
        return Deviation(math.inf, where=f"{where}: shapes {tuple(found.shape)} and {tuple(expected.shape)}")
    if not found.numel():
        return Deviation(0.0, where=where)
    finite = expected[expected.isfinite()]
    scale = float(finite.abs().max().clamp_min(1e-3)) if finite.numel() else 1.0
    # The same infinity on both sides is no difference; a NaN on one is.
    same = (found == expected) | (found.isnan() & expected.isnan())
    difference = ((found - expected).abs() / scale).masked_fill(same, 0).nan_to_num(math.inf, math.inf)
    rows = difference.reshape(*difference.shape[: 1 + by_token], -1).amax(-1)
    place = int(rows.argmax())
    value = float(rows.flatten()[place])
    row, position = divmod(place, rows.shape[1]) if by_token else (place, None)
    return Deviation(value, row, position, where)


def worst_of(found: Iterable[Deviation]) -> Deviation:
    """The greatest of several deviations; of equal ones the first."""
    return max(found, key=lambda each: each.value, default=Deviation(0.0))


def _as_json(size: Size, found: Deviation, dtype: torch.dtype) -> dict[str, Any]:
    places = {"row": found.row, "position": found.position}
    return {"length": size.length, "batch": size.batch, **places, "precision": _name(dtype)}


def _in_words(lengths: Sequence[int], dtypes: Iterable[torch.dtype]) -> str:
    return f"{len(lengths)} lengths up to {max(lengths)}, {' and '.join(map(_name, dtypes))}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
