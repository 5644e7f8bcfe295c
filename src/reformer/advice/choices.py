"""Choices of a recipe: for each field a value and the reason for it, told from the profile of the data."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reformer.advice.profile import Profile
from reformer.advice.records import CLASSES, ENTITIES, MASKED, PAIRS, QUESTIONS, TEXT

START = "index:multilingual-e5-small"
FRESH, WARM = "fresh", "warm"

# Every number that a recipe gets, and every bound that decides between two: change them here.

FIELDS: Mapping[tuple[str, str], Mapping[str, Mapping[str, Any]]] = {
    (ENTITIES, WARM): {
        "finetune": {
            "start_from": START,
            "keep_layers": [0, 1, 2, 3, 4, 5],
            "freeze": ["embeddings"],
            "layer_decay": 0.9,
            "head_learning_rate": 2e-3,
        },
        "model": {"hidden_dropout_prob": 0.1},
        "training": {"learning_rate": 5e-4, "warmup_ratio": 0.08, "weight_decay": 0.01, "batch_tokens": 2048},
    },
    (ENTITIES, FRESH): {
        "tokenizer": {"kind": "character", "min_frequency": 2},
        "model": {
            "hidden_size": 128,
            "num_attention_heads": 2,
            "attention_head_size": 64,
            "feed_forward_size": 512,
            "local_window": 32,
            "convolution_kernel": 5,
            "hidden_dropout_prob": 0.2,
            "reversible": False,
            "ngram_sizes": [2, 3],
            "ngram_width": 16,
            "ngram_min_frequency": 2,
            "ngram_dropout": 0.4,
        },
        "training": {"learning_rate": 3e-3, "warmup_ratio": 0.05, "weight_decay": 0.05, "batch_tokens": 4096},
    },
    (CLASSES, WARM): {
        "finetune": {
            "start_from": START,
            "keep_layers": [0, 1, 2, 3, 4, 5],
            "layer_decay": 0.9,
            "head_learning_rate": 1e-3,
        },
        "model": {"classifier_pooling": "mean", "hidden_dropout_prob": 0.1},
        "training": {
            "learning_rate": 1e-4,
            "warmup_ratio": 0.08,
            "weight_decay": 0.01,
            "batch_tokens": 4096,
            "batch_size": 32,
        },
    },
    (CLASSES, FRESH): {
        "tokenizer": {"kind": "character", "min_frequency": 2},
        "model": {
            "hidden_size": 128,
            "num_attention_heads": 2,
            "attention_head_size": 64,
            "feed_forward_size": 256,
            "local_window": 32,
            "convolution_kernel": 5,
            "hidden_dropout_prob": 0.2,
            "classifier_pooling": "mean",
            "ngram_sizes": [2, 3],
            "ngram_width": 16,
            "ngram_min_frequency": 2,
            "ngram_dropout": 0.6,
        },
        "training": {
            "learning_rate": 1e-3,
            "warmup_ratio": 0.05,
            "weight_decay": 0.05,
            "batch_tokens": 8192,
            "batch_size": 32,
        },
    },
    (QUESTIONS, FRESH): {
        "tokenizer": {"kind": "character"},
        "model": {
            "hidden_size": 128,
            "num_attention_heads": 4,
            "attention_head_size": 32,
            "feed_forward_size": 512,
            "local_window": 32,
            "lsh_window": 64,
            "num_buckets": 16,
            "num_rounds": 2,
            "convolution_kernel": 5,
            "initializer_range": 0.1,
            "hidden_dropout_prob": 0.1,
        },
        "training": {"learning_rate": 1e-3, "batch_tokens": 16384},
    },
    (PAIRS, FRESH): {
        "tokenizer": {"kind": "character"},
        "model": {
            "hidden_size": 256,
            "num_attention_heads": 4,
            "attention_head_size": 64,
            "feed_forward_size": 1024,
            "local_window": 32,
            "lsh_window": 32,
            "num_buckets": 16,
            "shared_query_key": False,
            "convolution_kernel": 3,
            "hidden_dropout_prob": 0.1,
            "label_smoothing": 0.1,
        },
        "training": {"learning_rate": 1e-3, "batch_tokens": 8192},
    },
    (TEXT, FRESH): {
        "tokenizer": {"kind": "byte"},
        "model": {
            "hidden_size": 128,
            "num_attention_heads": 2,
            "attention_head_size": 64,
            "feed_forward_size": 512,
            "local_window": 64,
            "lsh_window": 32,
            "num_buckets": 32,
            "num_rounds": 1,
            "convolution_kernel": 3,
        },
        "training": {"learning_rate": 3e-3, "batch_tokens": 8192},
    },
    (MASKED, FRESH): {
        "tokenizer": {"kind": "character", "min_frequency": 2},
        "model": {
            "hidden_size": 128,
            "num_attention_heads": 2,
            "attention_head_size": 64,
            "feed_forward_size": 512,
            "local_window": 32,
            "convolution_kernel": 5,
            "hidden_dropout_prob": 0.1,
            "reversible": False,
            "ngram_sizes": [2, 3],
            "ngram_width": 16,
            "ngram_min_frequency": 3,
            "ngram_dropout": 0.2,
        },
        "training": {"learning_rate": 2e-3, "weight_decay": 0.05, "batch_tokens": 8192},
    },
}
"""Fields whose values no figure of the data changes, by task and start."""

WHY: Mapping[str, str] = {
    "keep_layers": "half the layers: twice as many texts are read in a minute",
    "freeze": "few labels would spoil what the embeddings know of words that the labelled texts do not have",
    "layer_decay": "lower layers learn more slowly: what they know is of use to any task",
    "head_learning_rate": "the head is new and has all to learn",
    "ngram_sizes": "pairs and triples of characters, which words and names are made of",
    "ngram_dropout": "left out in training this often: what is learned by heart helps no new text",
    "min_frequency": "what occurs once teaches the model what an unknown character may be",
    "reversible": "texts of this length leave memory to spare; keeping the inputs of layers saves time",
    "initializer_range": "to find a word again attention has to be sharp, and it is so sooner with large weights",
    "shared_query_key": "queries and keys of their own translate better where this was measured",
    "learning_rate": "the highest rate; it falls to 0 by the end of the minutes",
    "batch_tokens": "tokens of a step, padding included; halve it where memory is short",
}
"""Why the fields above are there, where that does not go without saying."""

PIECES_A_SECOND = 1000
"""Pieces that the warm start trains on in a second of two cores, roughly: with it goes how much a budget can read."""
MIN_PASSES = {ENTITIES: 1.0, CLASSES: 0.5}
"""Passes over the texts that a warm start has to have time for; with less, a small fresh model reads more of them."""
START_PIECES = 440
"""Estimated pieces of a text, at most, for the 512 tokens that the start reads: the estimate may be short."""
LONGER = {"attention_layers": ["local"] * 12, "local_window": 65, "global_tokens": [0, -1], "recompute": True}
"""Fields of the model that lets the start read longer texts, of all its layers before some are left out."""
ROOM, MAX_POSITIONS = 1.5, 1 << 15
"""Its positions as a multiple of the estimated pieces of the longest text, at least; and its positions, at most."""
MIN_LETTERS = 0.6
"""Letters among the characters, at least, for a text of a language that the start may know."""
MIN_BORDERS_IN_WORDS = 0.005
"""Share of entities that begin or end within words, from which the labeller reads characters in place of pieces."""
MAX_CRF_TYPES = 12
"""Types of entities, at most, for a conditional random field: its time grows with their square."""
WIDE_SIZES = {WARM: [1, 2], "cjk": [1, 2, 3], "alphabet": [1, 2, 3, 4, 5], ENTITIES: [1, 2, 3]}
"""Tokens of the wide part's n-grams: of pieces; of characters of classified and of labelled texts."""
WIDE_ROWS, WIDE_WEIGHTS = 1 << 18, 1 << 24
"""Rows of the wide part, and its rows times labels, at most."""
JOIN, FULL = 4000, 0.9
"""Characters that neighbouring texts are joined to; of a warm start, so much of `START_PIECES`."""
MIN_JOINED = 100
"""Joined documents, at least: fewer would tell nothing where some of them validate."""
FAR = 200
"""Characters of a text from which hashed layers find something that windows do not."""
VALIDATION, MIN_VALIDATION, MAX_VALIDATION, MAX_VALIDATION_FRACTION = 0.1, 200, 2000, 0.2
"""Share of the records that validate, unless that is too few or more than it takes; and the greatest share."""
MIN_DOCUMENTS = 10
"""Records, at least."""
SEQUENCE_LENGTH = {1 << 19: 512, 1 << 22: 1024, 1 << 62: 2048}
"""Tokens of a sequence of running text, by the characters that there are at most."""
QUESTION_POSITIONS = 1 << 12
"""Positions of a reader of questions, at least: twice the longest text where that is more."""
EVALUATIONS, PATIENCE = 10, 4


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
    fixed = FIELDS[task, start]
    choices = [
        Choice(table, name, value, why if name == "start_from" else WHY.get(name, ""))
        for table, fields in fixed.items()
        for name, value in fields.items()
    ]
    if start == FRESH:
        choices.append(Choice("tokenizer", "kind", fixed["tokenizer"]["kind"], why))
    further = [
        *_data(task, start, found, own_split, neighbours),
        *_model(task, start, found),
        *_training(task, minutes),
    ]
    # The last one of a name counts.
    return list({(choice.table, choice.name): choice for choice in (*choices, *further)}.values())


def _start(task: str, found: Profile, minutes: float, offline: bool) -> tuple[str, str]:
    """Whether to begin with a trained model, and why."""
    if (task, WARM) not in FIELDS:
        return FRESH, ""
    if offline:
        return FRESH, "--offline: from nothing, as nothing may be fetched"
    passes = 60 * minutes * PIECES_A_SECOND / max(1, found.pieces)
    if found.letters < MIN_LETTERS:
        return (
            FRESH,
            f"from nothing: {found.letters:.0%} of the characters are letters, so no language is known to help",
        )
    if _positions(found) > MAX_POSITIONS:
        return FRESH, (
            f"from nothing: the longest text has some {found.piece_counts[0]:,} pieces, too many for the positions of "
            f"{START.removeprefix('index:')}; a model from nothing reads any length"
        )
    if passes < MIN_PASSES[task]:
        return FRESH, (
            f"from nothing: in {minutes:g} minutes the pretrained model would read {passes:.1f} times through these "
            f"texts, and {MIN_PASSES[task]:g} is where it begins to pay; a small model reads more of them"
        )
    return WARM, (
        f"an encoder of a hundred languages: about {passes:.0f} times through these texts in {minutes:g} minutes"
        if passes >= 1.5
        else f"an encoder of a hundred languages: {passes:.1f} times through these texts in {minutes:g} minutes"
    )


def _positions(found: Profile) -> int:
    """The positions that a warm start needs to read the longest text, and longer ones yet; 0: its own are enough."""
    longest = found.piece_counts[0] if found.piece_counts else 0
    return 0 if longest <= START_PIECES else 1 << int(ROOM * longest).bit_length()


def _data(task: str, start: str, found: Profile, own_split: bool, neighbours: bool) -> Iterator[Choice]:
    records = found.documents
    readable = max(1, int(FULL * START_PIECES * found.characters / max(1, found.pieces)))
    if neighbours and task in (ENTITIES, MASKED):
        most = JOIN if start == FRESH else readable
        length = max(found.median_length, min(most, found.characters // MIN_JOINED), 1)
        records = max(1, found.characters // length)
        told = f"neighbouring texts are read together, up to so many characters: about {records:,} documents"
        yield Choice("data", "max_length", length, told)
    if task == TEXT:
        length = next(length for most, length in SEQUENCE_LENGTH.items() if found.characters <= most)
        yield Choice("data", "sequence_length", length, "tokens that are read at a time")
    elif not own_split:
        fraction = max(VALIDATION, min(MIN_VALIDATION / records, MAX_VALIDATION_FRACTION))
        fraction = round(max(0.01, min(fraction, MAX_VALIDATION / records)), 3)
        yield Choice(
            "data",
            "validation_fraction",
            fraction,
            f"about {max(1, round(records * fraction)):,} records choose the best weights; with files of your own: "
            'validation = "...", test = "..."',
        )


def _model(task: str, start: str, found: Profile) -> Iterator[Choice]:
    if start == WARM:
        yield Choice("tokenizer", "kind", "start")
        yield Choice("tokenizer", "vocabulary", "used", "the pieces that these texts have, of 250,000")
        if positions := _positions(found):
            told = (
                f"positions for longer texts than the 512 that it has: the longest has some {found.piece_counts[0]:,}"
            )
            yield Choice("model", "max_position_embeddings", positions, told)
            for name, value in LONGER.items():
                why = (
                    "its layers, seen through windows, and all tokens see the two ends"
                    if name == "attention_layers"
                    else ""
                )
                yield Choice("model", name, value, why)
    if task in (ENTITIES, CLASSES):
        yield from _classifier(task, start, found)
    if start == FRESH:
        yield from _layers(task, found)
    if task == QUESTIONS:
        positions = max(QUESTION_POSITIONS, 1 << (2 * found.longest - 1).bit_length())
        width = FIELDS[task, FRESH]["model"]["hidden_size"] // 2
        told = f"the longest question with its document has {found.longest:,} characters"
        yield Choice("model", "position_embedding_type", "axial", "the question stands at the beginning")
        yield Choice("model", "axial_pos_shape", [positions // 128, 128])
        yield Choice("model", "axial_pos_embds_dim", [width, width])
        yield Choice("model", "max_position_embeddings", positions, told)


def _classifier(task: str, start: str, found: Profile) -> Iterator[Choice]:
    reads_characters = task == ENTITIES and start == WARM and found.borders_in_words >= MIN_BORDERS_IN_WORDS
    if reads_characters:
        yield Choice(
            "model",
            "classifier_reads",
            "characters",
            f"{found.borders_in_words:.1%} of the entities begin or end between two letters, where a piece may not",
        )
    labels = len(found.classes)
    if task == ENTITIES:
        labels = 2 * len(found.entities) + 1
        if len(found.entities) > MAX_CRF_TYPES:
            return
        yield Choice("model", "classifier_crf", True, "scores whole sequences of labels, and decides for the best one")
    if start == WARM and not reads_characters:
        sizes = WIDE_SIZES[WARM]
    else:
        sizes = WIDE_SIZES[ENTITIES if task == ENTITIES else "cjk" if found.cjk > 0.5 else "alphabet"]
    yield Choice(
        "model", "wide_sizes", sizes, "begins with a classical method over n-grams, and so never ends below it"
    )
    rows = WIDE_ROWS
    while rows * labels > WIDE_WEIGHTS:
        rows //= 2
    yield Choice("model", "wide_rows", rows)


def _layers(task: str, found: Profile) -> Iterator[Choice]:
    if task in (QUESTIONS, TEXT):
        layers = ["lsh", "local"] * 3 if task == QUESTIONS else ["local", "lsh"] * 2
        yield Choice("model", "attention_layers", layers, "hashed layers find what is alike at any distance")
        return
    if task == PAIRS:
        yield Choice("model", "attention_layers", ["local+lsh"] * 3)
        yield Choice("model", "decoder_attention_layers", ["local"] * 3)
        yield Choice("model", "cross_attention_layers", ["full"] * 3)
        return
    if found.longest < FAR:
        told = f"windows alone: the longest text has {found.longest:,} characters"
        yield Choice("model", "attention_layers", ["local", "local"], told)
        return
    told = (
        f"windows, and one hashed layer for what is alike farther away: texts have up to {found.longest:,} characters"
    )
    yield Choice("model", "attention_layers", ["local", "local+lsh", "local"], told)
    yield Choice("model", "lsh_window", 32)
    yield Choice("model", "num_buckets", 64)
    yield Choice("model", "num_rounds", 1)


def _training(task: str, minutes: float) -> Iterator[Choice]:
    yield Choice("training", "task", task)
    yield Choice(
        "training",
        "max_minutes",
        int(minutes) if minutes == int(minutes) else minutes,
        "the budget; the classical method comes on top, a minute or so",
    )
    yield Choice("training", "num_evaluations", EVALUATIONS)
    yield Choice("training", "early_stopping_patience", PATIENCE, "ends after so many evaluations without a better one")
