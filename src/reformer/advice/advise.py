"""Advice for a file: its records are found, profiled, and a recipe for them is written as text."""

from dataclasses import dataclass
from typing import Any

from reformer.advice.profile import Profile, profile
from reformer.advice.recipe_text import figures, recipe_for
from reformer.advice.records import find_records


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
    encoding: str | None = None,
    header: bool = True,
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
    records = find_records(
        source,
        task=task,
        format=format,
        text_column=text_column,
        label_column=label_column,
        encoding=encoding,
        header=header,
    )
    found = profile(records.documents)
    options: dict[str, Any] = {"neighbours": records.neighbours, "minutes": minutes, "offline": offline}
    text = recipe_for(records.task, records.data, found, **options)
    return Advice(records.task, text, found)
