"""Seeded split of records into a training and a held-out part."""

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Sequence
from typing import TypeVar

import numpy as np

from reformer.data.errors import DataError

Record = TypeVar("Record")


def hold_out(
    records: list[Record],
    *,
    fraction: float,
    seed: int,
    what: str = "document",
    place: str | None = None,
    labels: Sequence[Collection[str]] | None = None,
    groups: Sequence[Collection[Hashable]] | None = None,
) -> tuple[list[Record], list[Record]]:
    """The training and the validation records, both in their order; `seed` alone decides which are held out.

    Records that have a group in common are all on one side. Each label has its share of the held-out records, the
    rarest first, and is always left in a record to learn from.

    Args:
        records: all training records.
        fraction: how many of them are held out, at least one.
        what: the singular noun for a record, for the error.
        place: the file or data set of the records, for the error.
        labels: of each record.
        groups: that each record belongs to.

    Raises:
        DataError: at `place`, fewer than two records, or none that can be held out.

    >>> hold_out(list("abcdef"), fraction=0.3, seed=0)
    (['a', 'b', 'e', 'f'], ['c', 'd'])
    >>> hold_out(list("abcdef"), fraction=0.3, seed=0, groups=["ab", "b", "c", "c", "d", "e"])
    (['a', 'b', 'e', 'f'], ['c', 'd'])
    """
    if len(records) < 2:
        raise DataError(
            place,
            None,
            f"there is {len(records)} training {what}, too few to hold one out for validation",
            f"give more {what}s, a validation file, or a smaller data.max_length",
        )
    order = np.random.default_rng(seed).permutation(len(records)).tolist()
    units = _units(order, groups)
    found = _Choice(units, labels, max(1, round(len(records) * fraction)), fraction).held_out()
    if not found:
        if len(units) < 2:
            problem = f"all {len(records)} training {what}s are one text or of one group, so that none can be held out"
            raise DataError(place, None, problem, f"give {what}s that differ, or a validation file")
        problem = (
            f"each of the {len(records)} training {what}s is the only one with some label, so that none can be held "
            "out for validation"
        )
        raise DataError(place, None, problem, f"give more {what}s of each label, or a validation file")
    train = [record for index, record in enumerate(records) if index not in found]
    return train, [records[index] for index in sorted(found)]


def fold(
    records: list[Record],
    number: int,
    folds: int,
    *,
    seed: int,
    what: str = "document",
    place: str | None = None,
    labels: Sequence[Collection[str]] | None = None,
    groups: Sequence[Collection[Hashable]] | None = None,
) -> tuple[list[Record], list[Record]]:
    """The training and the validation records of one of `folds` splits, counted from 1.

    No record validates in two of them. Each validates in one, but for those that a label would have none without.

    >>> [fold(list("abcd"), number, 2, seed=0)[1] for number in (1, 2)]
    [['b', 'c'], ['a', 'd']]

    Raises:
        DataError: at `place`, this one has no record.
    """
    order = np.random.default_rng(seed).permutation(len(records)).tolist()
    units = _units(order, groups)
    names = _unit_labels(units, labels)
    total = Counter(name for each in names for name in each)
    sizes, counts = [0] * folds, defaultdict[str, list[int]](lambda: [0] * folds)
    chosen: set[int] = set()
    for unit, own in sorted(
        zip(units, names, strict=True), key=lambda pair: min(map(total.__getitem__, pair[1]), default=0)
    ):
        free = [each for each in range(folds) if all(total[name] - counts[name][each] > 1 for name in own)]
        if not free:
            continue
        rarest = min(own, key=lambda name: (total[name], name), default="")
        best = min(free, key=lambda each: (counts[rarest][each], sizes[each]))
        sizes[best] += len(unit)
        for name in own or {""}:
            counts[name][best] += 1
        chosen |= set(unit if best + 1 == number else ())
    if not chosen:
        problem = f"there are {len(records)} training {what}s, too few for {folds} folds"
        raise DataError(place, None, problem, f"give more {what}s, or fewer folds")
    train = [record for index, record in enumerate(records) if index not in chosen]
    return train, [records[index] for index in sorted(chosen)]


def _unit_labels(units: list[list[int]], labels: Sequence[Collection[str]] | None) -> list[set[str]]:
    return [set().union(*(labels[index] for index in unit)) if labels else set[str]() for unit in units]


def _units(order: Sequence[int], groups: Sequence[Collection[Hashable]] | None) -> list[list[int]]:
    """The records in this order, those together that are linked by groups."""
    if groups is None:
        return [[index] for index in order]
    parents = list(range(len(order)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    first: dict[Hashable, int] = {}
    for index in range(len(order)):
        for group in groups[index]:
            parents[root(index)] = root(first.setdefault(group, index))
    units: dict[int, list[int]] = defaultdict(list)
    for index in order:
        units[root(index)].append(index)
    return list(units.values())


class _Choice:
    """Choice of the units that are held out."""

    def __init__(
        self, units: list[list[int]], labels: Sequence[Collection[str]] | None, wanted: int, fraction: float
    ) -> None:
        self._units, self._wanted = units, wanted
        self._labels = _unit_labels(units, labels)
        self._left = Counter(label for each in self._labels for label in each)
        # Records of each label that are still to be held out.
        self._due = Counter[str]()
        for unit, names in zip(units, self._labels, strict=True):
            for name in names:
                self._due[name] += len(unit) * fraction  # pyright: ignore[reportArgumentType]
        self._chosen: set[int] = set()
        self._count = 0

    def held_out(self) -> set[int]:
        having: dict[str, list[int]] = defaultdict(list)
        for number, names in enumerate(self._labels):
            for name in sorted(names):
                having[name].append(number)
        for name in sorted(having, key=lambda name: (len(having[name]), having[name][0])):
            for number in having[name]:
                # A half is rounded up, so that ten records of a label have one of twenty parts.
                if self._due[name] < 0.5 or self._count >= self._wanted:
                    break
                self._take(number)
        for number in range(len(self._units)):
            if self._count >= self._wanted:
                break
            self._take(number)
        if not self._chosen:
            # Every unit is larger than what is wanted: the smallest comes closest.
            for number in sorted(range(len(self._units)), key=lambda number: len(self._units[number])):
                if self._take(number, at_most=sum(map(len, self._units)) - 1):
                    break
        return {index for number in self._chosen for index in self._units[number]}

    def _take(self, number: int, at_most: int | None = None) -> bool:
        size, names = len(self._units[number]), self._labels[number]
        too_many = self._count + size > (self._wanted if at_most is None else at_most)
        is_last = len(self._chosen) + 1 == len(self._units)
        if number in self._chosen or too_many or is_last or any(self._left[name] == 1 for name in names):
            return False
        self._chosen.add(number)
        self._count += size
        for name in names:
            self._left[name] -= 1
            self._due[name] -= size
        return True
