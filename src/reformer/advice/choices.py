"""Choices of a recipe: for each field a value and the reason for it, told from the profile of the data."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reformer.advice import table
from reformer.advice.profile import Profile
from reformer.advice.records import CLASSES, ENTITIES, MASKED, QUESTIONS, TEXT
from reformer.wording import counted


@dataclass(frozen=True)
class Choice:
    """One field of a recipe, and the reason for its value; "" where none needs to be told."""

    table: str
    name: str
    value: Any
    why: str = ""


def choose(
    task: str, found: Profile, *, own_split: bool, neighbours: bool, minutes: float, offline: bool
) -> list[Choice]:
    """Every field of the recipe but those that name the data.

    Args:
        own_split: whether the data come with a part that validates.
        neighbours: whether neighbouring documents may be parts of one text.
        minutes: the time to train.
        offline: take nothing that has to be fetched.
    """
    start, why = _start(task, found, minutes, offline)
    fixed = table.FIELDS[task, start]
    choices = [
        Choice(part, name, value, why if name == "start_from" else table.WHY.get(name, ""))
        for part, fields in fixed.items()
        for name, value in fields.items()
    ]
    if start == table.FRESH:
        choices.append(Choice("tokenizer", "kind", fixed["tokenizer"]["kind"], why))
    data = list(_data(task, start, found, own_split, neighbours, minutes))
    validation = next((choice.value for choice in data if choice.name == "validation_fraction"), None)
    further = [
        *data,
        *_model(task, start, found, _passes(found, minutes) / 2),
        *_training(task, minutes, _epochs(task, start, found), _evaluations(start, found, validation, minutes)),
    ]
    # The last one of a name counts.
    chosen = {(choice.table, choice.name): choice for choice in (*choices, *further)}
    if task == CLASSES and found.several_labels:
        several = Choice("training", "problem_type", "multi_label_classification", "a text may have several labels")
        chosen["training", "problem_type"] = several
    return list(chosen.values())


def _start(task: str, found: Profile, minutes: float, offline: bool) -> tuple[str, str]:
    """Whether to begin with a trained model, and why."""
    if (task, table.WARM) not in table.FIELDS:
        return table.FRESH, ""
    if offline:
        return table.FRESH, "--offline: from nothing, as nothing may be fetched"
    passes = _passes(found, minutes)
    if found.letters < table.MIN_LETTERS:
        return (
            table.FRESH,
            f"from nothing: {found.letters:.0%} of the characters are letters, so no language is known to help",
        )
    if _positions(found) > table.MAX_POSITIONS:
        return table.FRESH, (
            f"from nothing: the longest text has some {counted(found.piece_counts[0], 'piece')}, too many for the "
            "positions of "
            f"{table.START.removeprefix('index:')}; a model from nothing reads any length"
        )
    if passes < table.MIN_PASSES[task]:
        return table.FRESH, (
            f"from nothing: in {minutes:g} minutes the pretrained model would read {passes:.1f} times through these "
            f"texts, and {table.MIN_PASSES[task]:g} is where it begins to pay; a small model reads more of them"
        )
    return table.WARM, (
        f"an encoder of a hundred languages: about {passes:.0f} times through these texts in {minutes:g} minutes"
        if passes >= 1.5
        else f"an encoder of a hundred languages: {passes:.1f} times through these texts in {minutes:g} minutes"
    )


def _passes(found: Profile, minutes: float) -> float:
    """How often half of the start's layers can read the texts in so many minutes, about."""
    return 60 * minutes * table.PIECES_A_SECOND / max(1, found.pieces)


def _positions(found: Profile) -> int:
    """The positions that a warm start needs to read the longest text, and longer ones yet; 0: its own are enough."""
    longest = found.piece_counts[0] if found.piece_counts else 0
    return 0 if longest <= table.START_PIECES else 1 << int(table.ROOM * longest).bit_length()


def _data(task: str, start: str, found: Profile, own_split: bool, neighbours: bool, minutes: float) -> Iterator[Choice]:
    records = found.documents
    readable = max(1, int(table.FULL * table.START_PIECES * found.characters / max(1, found.pieces)))
    if neighbours and task in (ENTITIES, MASKED):
        most = table.JOIN if start == table.FRESH else readable
        length = max(found.median_length, min(most, found.characters // table.MIN_JOINED), 1)
        records = max(1, found.characters // length)
        told = f"neighbouring texts are read together, up to so many characters: about {counted(records, 'document')}"
        yield Choice("data", "max_length", length, told)
    if task == ENTITIES and found.overlapping:
        told = f"entities lie over each other in {counted(found.overlapping, 'text')}: all are labelled, in layers"
        yield Choice("data", "on_overlap", "keep", told)
    if task == TEXT:
        length = next(length for most, length in table.SEQUENCE_LENGTH.items() if found.characters <= most)
        yield Choice("data", "sequence_length", length, "tokens that are read at a time")
    elif not own_split:
        fraction = max(table.VALIDATION, min(table.MIN_VALIDATION / records, table.MAX_VALIDATION_FRACTION))
        affordable = _evaluated_pieces(minutes) / table.MIN_EVALUATIONS * records / max(1, found.pieces)
        most = table.MAX_VALIDATION
        if start == table.WARM:
            most = min(most, max(table.MIN_VALIDATION, affordable))
        fraction = round(max(0.001, min(fraction, most / records)), 3)
        yield Choice(
            "data",
            "validation_fraction",
            fraction,
            f"about {counted(max(1, round(records * fraction)), 'record', 'choose')} the best weights; with files of "
            "your own: "
            'validation = "...", test = "..."',
        )


def _model(task: str, start: str, found: Profile, passes: float) -> Iterator[Choice]:
    if start == table.WARM:
        yield Choice("tokenizer", "kind", "start")
        yield Choice("tokenizer", "vocabulary", "used", "the pieces that these texts have, of 250,000")
        if positions := _positions(found):
            told = (
                f"positions for longer texts than the 512 that it has: the longest has some {found.piece_counts[0]:,}"
            )
            yield Choice("model", "max_position_embeddings", positions, told)
        if task == CLASSES and passes < table.MIN_WHOLE_PASSES:
            yield Choice("finetune", "keep_layers", table.LOWER_HALF, table.WHY["keep_layers"])
    if task in (ENTITIES, CLASSES):
        yield from _classifier(task, start, found)
    if start == table.FRESH and task in (ENTITIES, CLASSES, MASKED):
        yield from _layers(found)
    if task == QUESTIONS:
        positions = max(table.QUESTION_POSITIONS, 1 << (2 * found.longest - 1).bit_length())
        width = table.FIELDS[task, table.FRESH]["model"]["hidden_size"] // 2
        told = f"the longest question with its document has {counted(found.longest, 'character')}"
        matched = "which groups of the document stand in the question is told, and need not be learned first"
        yield Choice("model", "question_match_sizes", table.MATCH_SIZES, matched)
        yield Choice("model", "position_embedding_type", "axial", "the question stands at the beginning")
        yield Choice("model", "axial_pos_shape", [positions // 128, 128])
        yield Choice("model", "axial_pos_embds_dim", [width, width])
        yield Choice("model", "max_position_embeddings", positions, told)


def _classifier(task: str, start: str, found: Profile) -> Iterator[Choice]:
    if task == ENTITIES and start == table.WARM:
        borders = (
            f"{found.borders_in_words:.1%} of the entities begin or end between two letters, where a piece may not"
        )
        told = f"learned sooner than labels of pieces; {borders}"
        yield Choice("model", "classifier_reads", "characters", told)
    labels = len(found.classes)
    if task == ENTITIES:
        labels = 2 * len(found.entities) + 1
        # Beside a pretrained labeller the wide part took more than it gave.
        if start == table.WARM or len(found.entities) > table.MAX_CRF_TYPES:
            return
        yield Choice("model", "classifier_crf", True, "scores whole sequences of labels, and decides for the best one")
    yield Choice(
        "model",
        "wide_sizes",
        table.WIDE_SIZES,
        "begins with a classical method over n-grams; the best weights never validate below that",
    )
    if task == CLASSES and start == table.FRESH:
        told = (
            "the rest learns beside what that says of texts that it was not fitted to, and is no classifier by itself"
        )
        yield Choice("model", "wide_dropout", 0.0, told)
    if start == table.WARM:
        yield Choice("model", "wide_reads", "characters", "of the characters, as that method reads them")
    rows = table.WIDE_ROWS
    while rows * labels > table.WIDE_WEIGHTS:
        rows //= 2
    yield Choice("model", "wide_rows", rows)


def _layers(found: Profile) -> Iterator[Choice]:
    if found.longest < table.FAR:
        told = f"windows alone: the longest text has {counted(found.longest, 'character')}"
        yield Choice("model", "attention_layers", table.NEAR_LAYERS, told)
        return
    told = (
        "windows, and a hashed layer for what is alike farther away: texts have up to "
        f"{counted(found.longest, 'character')}"
    )
    for name, value in table.FAR_LAYERS.items():
        yield Choice("model", name, value, told if name == "attention_layers" else "")


def _epochs(task: str, start: str, found: Profile) -> float | None:
    """Passes over the texts that a warm start is done after."""
    if start == table.FRESH:
        return None
    training = table.FIELDS[task, start]["training"]
    steps = max(found.pieces / training["batch_tokens"], found.documents / training.get("batch_size", found.documents))
    return round(max(table.PASSES[task], table.MIN_STEPS[task] / max(1.0, steps)), 1)


def _evaluated_pieces(minutes: float) -> float:
    """How many pieces a warm start can evaluate in its part of so many minutes, about."""
    return 3 * table.PIECES_A_SECOND * table.EVALUATED * 60 * minutes


def _evaluations(start: str, found: Profile, validation: float | None, minutes: float) -> int:
    """Evaluations of a run; fewer where a pretrained model would spend its time on them."""
    if start == table.FRESH or validation is None:
        return table.EVALUATIONS
    affordable = _evaluated_pieces(minutes) / max(1.0, validation * found.pieces)
    return max(table.MIN_EVALUATIONS, min(table.EVALUATIONS, int(affordable)))


def _training(task: str, minutes: float, epochs: float | None, evaluations: int) -> Iterator[Choice]:
    yield Choice("training", "task", task)
    if epochs is not None:
        yield Choice("training", "epochs", epochs, "passes over the texts, unless the minutes are over before")
    yield Choice(
        "training",
        "max_minutes",
        int(minutes) if minutes == int(minutes) else minutes,
        "the budget; the classical method comes on top, a minute or so",
    )
    told = "" if evaluations == table.EVALUATIONS else "the texts that validate are long; each takes a part of the time"
    yield Choice("training", "num_evaluations", evaluations, told)
    yield Choice(
        "training", "early_stopping_patience", table.PATIENCE, "ends after so many evaluations without a better one"
    )
