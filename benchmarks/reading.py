"""Long documents read by a trained run in pieces, overlapping pieces or whole, with any kind of attention."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from reformer.data import Document, Span

POSITIONS = 1 << 17
"""Of a model that reads whole texts."""
PIECE = 510
"""Tokens of a piece, between the two special tokens."""
PIECES_AT_ONCE = 8


@dataclass(frozen=True)
class Manner:
    """Manner of reading a text.

    Args:
        kind: of the attention of every layer.
        step: tokens from the beginning of a piece to that of the next one; None to read the whole text at once.
        pieces: read no more of them; None for all.
        learned: whether the weights have learned in this manner, after full attention within short documents.
    """

    name: str
    kind: str
    step: int | None = None
    pieces: int | None = None
    learned: bool = False

    def spans(self, length: int) -> list[tuple[int, int]]:
        """The first token of each piece of a text of `length` tokens, and the one after its last."""
        if self.step is None:
            return [(0, length)]
        starts = range(0, max(1, length - PIECE + self.step), self.step)
        return [(start, min(start + PIECE, length)) for start in starts][: self.pieces]


def fields(kind: str, layers: int) -> dict[str, Any]:
    """The fields that give a model's layers a kind of attention: windows of 64, with both special tokens seen by all,
    and four rounds of hashes."""
    chosen: dict[str, Any] = {"attention_layers": [kind] * layers}
    if "local" in kind:
        chosen |= {"local_window": 64, "global_tokens": [0, -1]}
    if "lsh" in kind:
        chosen |= {"lsh_window": 64, "num_buckets": 32, "num_rounds": 4}
    return chosen


def loaded(folder: Path, kind: str) -> Any:
    """A run, its layers changed to a kind of attention unless they have it already."""
    import torch

    from reformer.finetuning import changed_config, transfer
    from reformer.runs.loading import load_run
    from reformer.tasks.documents.task import DocumentTask

    run = load_run(folder, DocumentTask)
    config: Any = run.model.config
    # Hashes are drawn.
    torch.manual_seed(0)
    config = changed_config(config, fields(kind, len(config.attention_layers)))
    return replace(run, model=transfer(run.model, run.task.head, config).model.eval())


def encoded_whole(document: Document, tokenizer: Any) -> Any:
    """A document's tokens between the two special ones."""
    from reformer.data.batching.encoding import encode

    [encoded] = encode([document], tokenizer, POSITIONS, special_tokens=True)
    if isinstance(encoded, Exception):
        raise encoded
    return encoded


def logits(run: Any, document: Document, manner: Manner) -> list[tuple[int, np.ndarray]]:
    """The first character of each piece of a document with a row of logits for each character of the piece, where
    characters are labelled; otherwise 0 with one row."""
    import torch

    from reformer.data.batching.encoding import pad, pad_character_rows
    from reformer.tasks.documents.prediction import character_reading

    encoded, found = encoded_whole(document, run.tokenizer), []
    reading = character_reading(run.task, run.model.config, run.tokenizer)
    rows = None if reading is None else reading(document.text, encoded.offsets)
    spans = manner.spans(len(encoded.ids) - 2)
    for batch in (spans[at : at + PIECES_AT_ONCE] for at in range(0, len(spans), PIECES_AT_ONCE)):
        ids = [np.concatenate((encoded.ids[:1], encoded.ids[1 + a : 1 + b], encoded.ids[-1:])) for a, b in batch]
        inputs = pad(ids, run.model.config.pad_token_id)
        places = [(0, 0)] * len(batch)
        if rows is not None:
            # Characters stand in the order of their tokens, which the first special token shifts by one.
            ends = [np.searchsorted(rows[0], (1 + start, 1 + end)) for start, end in batch]
            shifts = [np.array([[start], [0], [0]]) for start, _ in batch]
            inputs |= pad_character_rows([rows[:, a:b] - by for (a, b), by in zip(ends, shifts, strict=True)])
            places = [(int(a), int(b - a)) for a, b in ends]
        with torch.inference_mode():
            answers = run.model(**inputs).logits.float().numpy()
        for (first, count), row in zip(places, answers, strict=True):
            found.append((first, row[:count] if rows is not None else row))
    return found


def merged(parts: Iterable[tuple[int, np.ndarray]], length: int) -> np.ndarray:
    """The rows of all places of a text, each from the part in which it stands furthest from a cut.

    Args:
        parts: the first place of each part, and the rows of its places; the ends of the text are no cuts.
        length: the places of the text; every one stands in a part.
    """
    best, found = np.full(length, -1), None
    for first, rows in parts:
        end = first + len(rows)
        places = np.arange(first, end)
        to_cut = np.minimum(places - first if first else length, end - 1 - places if end < length else length)
        better = to_cut > best[first:end]
        found = np.zeros((length, *rows.shape[1:]), rows.dtype) if found is None else found
        found[first:end][better], best[first:end][better] = rows[better], np.broadcast_to(to_cut, len(rows))[better]
    if found is None or (best < 0).any():
        raise ValueError(f"of {length} places {int((best < 0).sum())} stand in no part; give parts that cover all")
    return found


def entities(run: Any, manner: Manner, document: Document) -> Sequence[Span]:
    """The entities that a labeller of characters finds."""
    from reformer.data.batching.encoding import character_offsets

    rows = merged(logits(run, document, manner), len(document.text))
    return run.task.answer(rows, character_offsets(document.text), document.text, run.labels).spans


def short_mentions(spans: Iterable[Span], named: Sequence[Span], text: str) -> list[Span]:
    """The spans whose text is a proper part of an earlier and longer one of their type among those `named`.

    >>> named = [Span(0, 4, "ORG"), Span(5, 7, "ORG"), Span(8, 10, "LOC")]
    >>> short_mentions(named, named, "北京大学，北大，北京，")
    []
    >>> short_mentions([Span(8, 10, "ORG")], named, "北京大学，北大，北京，")
    [Span(start=8, end=10, label='ORG')]
    """

    def is_short(span: Span) -> bool:
        name = text[span.start : span.end]
        return any(
            each.end <= span.start
            and each.label == span.label
            and each.end - each.start > len(name)
            and name in text[each.start : each.end]
            for each in named
        )

    return [span for span in spans if is_short(span)]


def agreements(found: Iterable[Span], named: Iterable[Span], text: str) -> list[bool]:
    """For each entity named before by the same string and type, whether both are labelled alike: with the same type, or
    neither as an entity."""
    labels = {(span.start, span.end): span.label for span in found}
    last: dict[tuple[str, str], str | None] = {}
    agreed = []
    for span in named:
        name, label = (text[span.start : span.end], span.label), labels.get((span.start, span.end))
        if name in last:
            agreed.append(last[name] == label)
        last[name] = label
    return agreed
