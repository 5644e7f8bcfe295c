"""Advice for a file: its records are found, profiled, and a recipe for them is written as text."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reformer.advice.profile import Profile, profile
from reformer.advice.recipe_text import figures, recipe_for
from reformer.advice.records import CLASSES, ENTITIES, find_records
from reformer.data import DataError
from reformer.data.batching.hold_out import hold_out
from reformer.tasks.document_splits import joined, read_source
from reformer.tasks.recipe_checks import checked_recipe

RARE, SEEDS = 100, 200
"""Records of a label, at most, that could all be held out for validation; and random seeds that are tried then."""


@dataclass(frozen=True)
class Advice:
    """A recipe for a file, and the figures by which it was chosen."""

    task: str
    recipe: str
    """TOML, with comments."""
    found: Profile

    @property
    def figures(self) -> list[str]:
        """The figures as the comments of the recipe have them."""
        return figures(self.task, self.found)


def advise(
    source: str,
    *,
    task: str | None = None,
    format: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    minutes: float = 15,
    offline: bool = False,
) -> Advice:
    """A recipe for a file, a folder of texts, or a data set as `index:NAME`; the file is read once or twice.

    Args:
        task: the name of a task; None: the one that the records are labelled for.
        minutes: the time to train.
        offline: take nothing that has to be fetched.

    Raises:
        ReformerError: a file that cannot be read, that is empty, or whose records do not teach the task.
    """
    records = find_records(source, task=task, format=format, text_column=text_column, label_column=label_column)
    found = profile(records.documents)
    options: dict[str, Any] = {"neighbours": records.neighbours, "minutes": minutes, "offline": offline}
    text = recipe_for(records.task, records.data, found, **options)
    labels = {CLASSES: found.classes, ENTITIES: found.entities}.get(records.task, {})
    if "train" in records.data and labels and min(labels.values()) <= RARE:
        text = recipe_for(records.task, records.data, found, **options, seed=_seed(text, labels))
    return Advice(records.task, text, found)


def _seed(recipe_text: str, labels: Mapping[str, int]) -> int:
    """The first random seed whose split leaves a record of each label in the part that is learned from."""
    recipe: Any = checked_recipe(tomllib.loads(recipe_text))
    documents = joined(read_source(recipe.data.train, recipe.data, format=recipe.data.format), recipe.data)
    records = [
        {each.label, *(each.labels or ()), *(span.label for span in each.spans or ())} - {None} for each in documents
    ]
    for seed in range(SEEDS):
        learned, _ = hold_out(records, fraction=recipe.data.validation_fraction, seed=seed)
        if set().union(*learned) >= labels.keys():
            return seed
    rarest = min(labels, key=labels.__getitem__)
    raise DataError(
        recipe.data.train,
        None,
        f"label {rarest!r} occurs {labels[rarest]:,} times, so that any part for validation may have all that there is "
        "of it or of others as rare",
        "give it more texts, or join it with another label",
    )
