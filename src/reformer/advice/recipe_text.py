"""Text of a recipe: TOML with the figures of the data and the reason for each choice as comments."""

import json
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from reformer.advice.choices import Choice, choose
from reformer.advice.profile import Profile
from reformer.advice.records import CLASSES, ENTITIES, MASKED, PAIRS, QUESTIONS, TEXT
from reformer.advice.table import MIN_DOCUMENTS
from reformer.data import DataError
from reformer.errors import ReformerError
from reformer.terminal import printable
from reformer.wording import counted

TABLES = ("data", "tokenizer", "finetune", "model", "training")
FIRST_FIELDS = ("task", "source", "train", "format", "text_column", "label_column", "kind", "start_from")
TITLES = {
    ENTITIES: "Entities in texts",
    CLASSES: "One label for a text",
    QUESTIONS: "Answers to questions about documents",
    PAIRS: "A text from a text",
    TEXT: "A language model of running text",
    MASKED: "The language of texts without labels, for another run to start from (finetune.start_from)",
}
MOST_NAMED, LONGEST_NAME = 12, 40
"""Classes or types that the comments name, and characters of a name that they show."""
WIDTH = 118


def recipe_for(
    task: str,
    data: Mapping[str, Any],
    found: Profile,
    *,
    neighbours: bool = False,
    minutes: float = 15,
    offline: bool = False,
) -> str:
    """A whole recipe as TOML, with comments.

    Args:
        data: the fields of `[data]` that name the records.
        neighbours: whether neighbouring documents may be parts of one text, and be joined.
        minutes: the time to train.
        offline: take nothing that has to be fetched.

    Raises:
        DataError: too few records, or labels that do not recur.
    """
    _check(task, data, found)
    own_split = "source" in data
    choices = [Choice("data", name, value) for name, value in data.items()]
    choices += choose(task, found, own_split=own_split, neighbours=neighbours, minutes=minutes, offline=offline)
    lines = [f"# {TITLES[task]}.", *_comment(figures(task, found))]
    for table in TABLES:
        fields = [choice for choice in choices if choice.table == table]
        if fields:
            lines += ["", f"[{table}]", *_fields(fields)]
    return "\n".join(lines) + "\n"


def figures(task: str, found: Profile) -> list[str]:
    """The figures of the data, a line each."""
    scripts = ", ".join(f"{share:.0%} {name}" for name, share in list(found.scripts.items())[:3] if share >= 0.005)
    noun = {QUESTIONS: "questions, with their documents", PAIRS: "pairs"}.get(task, "texts")
    size = f"{found.documents:,} {noun}: {counted(found.characters, 'character')}"
    spread = f"{found.median_length:,} at the median, {found.longest:,} at most"
    lines = [
        f"the first {counted(found.characters, 'character')}" if task == TEXT else f"{size}; {spread}",
        f"{found.letters:.0%} letters, of them {scripts}" if scripts else "no letters",
    ]
    if task == CLASSES:
        noun = "labels, of which a text may have several" if found.several_labels else "classes"
        lines.append(f"{len(found.classes):,} {noun}: {_counts(found.classes)}")
    elif task == ENTITIES:
        lines.append(f"{counted(sum(found.entities.values()), 'entity')}: {_counts(found.entities)}")
    elif task == QUESTIONS:
        lines.append(f"{sum(found.entities.values()):,} of the questions have an answer")
    if found.repeated and task != TEXT:
        lines.append(f"{found.repeated:,} repeat a text before them: some may be learned from and validate, too")
    return lines


def toml_value(value: Any) -> str:
    """A value as TOML, on one line, without a character that a terminal would obey.

    >>> print(toml_value('a "b"\\x1b'))
    "a \\"b\\"\\u001b"
    """
    return printable(json.dumps(value, ensure_ascii=False), keep="")


def _check(task: str, data: Mapping[str, Any], found: Profile) -> None:
    place = data.get("train", data.get("source"))
    for value in data.values():
        try:
            str(value).encode("utf-8")
        except UnicodeEncodeError:
            raise ReformerError(
                f"{value}: a recipe is UTF-8, which cannot hold this name; give the file or the column another one"
            ) from None
    if task != TEXT and found.documents < MIN_DOCUMENTS:
        raise DataError(
            place,
            None,
            f"{found.documents} records, and at least {MIN_DOCUMENTS} are needed, to learn from and to validate with",
            "give more",
        )
    if task == CLASSES and 2 * len(found.classes) > found.documents:
        raise DataError(
            place,
            None,
            f"{len(found.classes):,} different labels for {counted(found.documents, 'text')}, so most have one text",
            "name the label's column by --label-column, or for texts that are made of texts give --task text-to-text",
        )
    if task == CLASSES and not found.classes:
        raise DataError(place, None, "nothing is labelled yet: no text has a label", "give the texts labels")
    if task == CLASSES and len(found.classes) == 1 and not found.several_labels:
        only = printable(next(iter(found.classes)), keep="")
        raise DataError(place, None, f"every text has the label {only!r}", "give texts of at least two labels")
    if task == ENTITIES and not found.entities:
        raise DataError(
            place,
            None,
            "nothing is labelled yet: no text has an entity",
            'give CoNLL tags or "spans" in JSONL; for texts without labels give --task masked-language-modelling',
        )


def _counts(counts: Mapping[str, int]) -> str:
    shown = [
        f"{printable(name[:LONGEST_NAME], keep='')} {count:,}" for name, count in list(counts.items())[:MOST_NAMED]
    ]
    if len(counts) > MOST_NAMED:
        shown.append(f"... and the smallest {list(counts.values())[-1]:,}")
    return ", ".join(shown)


def _fields(choices: Iterable[Choice]) -> Iterable[str]:
    order = {name: number for number, name in enumerate(FIRST_FIELDS)}
    for choice in sorted(choices, key=lambda choice: order.get(choice.name, len(order))):
        yield from _comment([f"{choice.why[0].upper()}{choice.why[1:]}."] if choice.why else [])
        yield f"{choice.name} = {toml_value(choice.value)}"


def _comment(lines: Iterable[str]) -> list[str]:
    return [f"# {line}" for each in lines for line in textwrap.wrap(each, WIDTH, break_long_words=False)]
