"""From character spans to one BIO tag a token, and back."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from reformer.data.documents import Span
from reformer.data.errors import DataError
from reformer.data.label_layers import SEPARATOR, layer_tags, layers_of
from reformer.data.spans import fitted_spans
from reformer.wording import counted

IGNORED = -100
"""The tag of a token that stands for no character: the loss and the metrics pass over it."""


def bio_labels(entity_types: Iterable[str]) -> list[str]:
    """The labels of a BIO tagger: `O` first, then `B-` and `I-` of every type, the types sorted.

    >>> bio_labels({"PER", "LOC"})
    ['O', 'B-LOC', 'I-LOC', 'B-PER', 'I-PER']
    """
    return ["O", *(f"{prefix}-{name}" for name in sorted(set(entity_types)) for prefix in "BI")]


SEPARATORS = "|;；,，、/"
"""Characters that files put between several labels of one text."""
_NOT_IN_NAMES = "|;；"


def joining_separator(labels: Iterable[str]) -> str | None:
    """The character that most labels hold and that seems to join several: what stands beside it recurs in different
    labels. None if there is none.

    >>> joining_separator(["财经|体育", "财经", "科技|财经"])
    '|'
    >>> joining_separator(["IT/科技", "IT/科技", "体育"]) is None
    True
    """
    counts = Counter(labels)
    for separator in SEPARATORS:
        joined = [label for label in counts if separator in label]
        if 2 * sum(counts[label] for label in joined) <= counts.total():
            continue
        parts = Counter(part for label in counts for part in {each.strip() for each in label.split(separator)})
        if any(parts[part.strip()] > 1 for label in joined for part in label.split(separator)):
            return separator
    return None


def composed_label(labels: Iterable[str]) -> tuple[str, str] | None:
    """The most frequent label that is made of others, and the character between them; None if there is none.

    All parts occur alone, or one of them where the character hardly stands in names.

    >>> composed_label(["财经|体育", "财经", "财经"])
    ('财经|体育', '|')
    >>> composed_label(["IT/科技", "体育"]) is None
    True
    """
    counts = Counter(labels)
    for label, _ in counts.most_common():
        for separator in SEPARATORS:
            parts = split_labels(label, separator)
            enough = 1 if separator in _NOT_IN_NAMES else len(parts)
            if len(parts) > 1 and sum(part in counts for part in parts) >= enough:
                return label, separator
    return None


def split_labels(label: str, separator: str) -> tuple[str, ...]:
    """The different labels of a text that are written as one, sorted; none for an empty one.

    >>> split_labels("体育 | 财经|", "|")
    ('体育', '财经')
    """
    return tuple(sorted({part.strip() for part in label.split(separator)} - {""}))


def label_id(label: str, label_ids: Mapping[str, int], source: str = "") -> int:
    """The number of `label`; a `DataError` at `source` that lists the known labels if it has none."""
    try:
        return label_ids[label]
    except KeyError:
        raise DataError.at(
            source,
            f"the label {label!r} was not seen in training; known are {', '.join(map(repr, sorted(label_ids)))}",
            "correct the label, drop the document, or train again with it",
        ) from None


def token_tags(
    spans: Iterable[Span],
    offsets: Sequence[tuple[int, int]],
    label_ids: Mapping[str, int],
    source: str = "",
) -> list[int]:
    """One BIO tag a token, as numbers of `label_ids`.

    `spans` are in order and do not overlap; `offsets` are the tokens' characters, in order, as a fast tokenizer
    gives them. A span whose boundary falls inside a token is widened to the whole token; a token that two spans
    meet in belongs to the first, and a second span left without a token of its own gets no tag. Of several
    tokens of one character (bytes) the first of a span is `B-` and the others are `I-`. Tokens of length 0
    (special tokens) get -100. An entity type that is not in `label_ids` is a `DataError` at `source`.

    Where the labels have layers, `spans` may overlap. Entities that lie over others as none in training do have no
    label, and are left out of those beneath.

    >>> token_tags([Span(1, 3, "LOC")], [(0, 0), (0, 1), (1, 2), (2, 3)], {"O": 0, "B-LOC": 1, "I-LOC": 2})
    [-100, 0, 1, 2]
    """
    depth = len(layer_tags(next(iter(label_ids))))
    beyond = ["O"] * depth

    def number(tags: Sequence[str]) -> int:
        return label_id(SEPARATOR.join((*tags, *beyond[len(tags) :])), label_ids, source)

    spans = tuple(spans)
    for name in dict.fromkeys(span.label for span in spans):
        number([f"B-{name}"])
    layers = layers_of(spans)[:depth] if depth > 1 else [spans]
    rows = zip(*(_tags(layer, offsets) for layer in layers), strict=True) if spans else [("O",)] * len(offsets)
    numbers: dict[tuple[str, ...], int] = {}
    found = []
    for row, (start, end) in zip(rows, offsets, strict=True):
        if start == end:
            found.append(IGNORED)
            continue
        if row not in numbers:
            kept = next((n for n in range(depth, 1, -1) if SEPARATOR.join((*row[:n], *beyond[n:])) in label_ids), 1)
            numbers[row] = number(row[:kept])
        found.append(numbers[row])
    return found


def _tags(spans: Iterable[Span], offsets: Sequence[tuple[int, int]]) -> list[str]:
    """One BIO tag a token, for spans that do not overlap."""
    tags = ["O"] * len(offsets)
    token = 0
    for span in spans:
        tag = f"B-{span.label}"
        while token < len(offsets) and offsets[token][0] < span.end:
            start, end = offsets[token]
            if start != end and end > span.start:
                tags[token] = tag
                tag = f"I-{span.label}"
            token += 1
    return tags


@dataclass(frozen=True, slots=True)
class TaggedSpan:
    """An entity, and the tokens whose tags say so."""

    span: Span
    tokens: tuple[int, ...]
    """Those of a `B-` tag and of the `I-` tags behind it; tokens between them that are passed over are not there."""
    following: int | None
    """The token whose tag ends it; None at the end of the text."""
    typed: frozenset[int] = frozenset()
    """Those of `tokens` that are inside of a group, so that their `B-` and `I-` tags say the same."""
    layer: int = 0
    """The layer whose tags say so."""


class TokenGroup(NamedTuple):
    """Neighbouring tokens that have one tag, such as those of a word."""

    first: int
    last: int
    """The last token, which belongs to the group."""
    speaker: int
    """The token whose tag stands for that of all."""

    @property
    def speaks_of_type_alone(self) -> bool:
        """Whether the speaker is not the first, so that its tag says nothing of whether an entity begins."""
        return self.speaker != self.first


def decode_spans(
    tags: Sequence[str], offsets: Sequence[tuple[int, int]], text: str, groups: Sequence[TokenGroup] | None = None
) -> list[Span]:
    """The entities that BIO `tags` (the labels' names, one a token) mean, with exact offsets in `text`.

    The reading is strict IOB2, that of `seqeval` with `mode="strict"`: only `B-X` starts an entity, `I-X` goes on
    with one of the same type, and an `I-X` that follows neither is dropped. Tokens of length 0 are passed over.
    Of several tokens of one character the first one's tag counts, so an entity never begins or ends inside a
    character. White space at an entity's ends does not belong to it, and all of a grapheme does.

    With `groups` of tokens, such as words, there is one tag a group, and no entity begins or ends inside one. Labels
    with layers have the entities of each, which may lie over each other.

    >>> decode_spans(["O", "B-LOC", "I-LOC", "I-PER"], [(0, 1), (1, 2), (2, 3), (3, 4)], "去北京了")
    [Span(start=1, end=3, label='LOC')]
    """
    return [tagged.span for tagged in tagged_spans(tags, offsets, text, groups)]


def tagged_spans(
    tags: Sequence[str], offsets: Sequence[tuple[int, int]], text: str, groups: Sequence[TokenGroup] | None = None
) -> list[TaggedSpan]:
    """The entities of `decode_spans`, each with its tokens; of a group of tokens that is its speaker."""
    if groups is not None:
        places = [(offsets[group.first][0], offsets[group.last][1]) for group in groups]
        return [
            TaggedSpan(
                tagged.span,
                tuple(groups[number].speaker for number in tagged.tokens),
                None if tagged.following is None else groups[tagged.following].speaker,
                frozenset(groups[number].speaker for number in tagged.tokens if groups[number].speaks_of_type_alone),
                tagged.layer,
            )
            for tagged in tagged_spans(tags, places, text)
        ]
    if len(tags) != len(offsets):
        raise ValueError(
            f"{len(tags)} tags were given for {counted(len(offsets), 'token')}; there must be one tag a token"
        )
    layers = list(zip(*map(layer_tags, tags), strict=True))
    if len(layers) > 1:
        of_layers = (
            replace(tagged, layer=number)
            for number, each in enumerate(layers)
            for tagged in tagged_spans(each, offsets, text)
        )
        different = {tagged.span: tagged for tagged in reversed(list(of_layers))}
        return sorted(different.values(), key=lambda tagged: (tagged.span.start, tagged.span.end, tagged.layer))
    found: list[TaggedSpan] = []
    current: Span | None = None
    tokens: list[int] = []
    reached = 0

    def end(following: int | None) -> None:
        # After the one before: of a grapheme that two share, the first has all.
        before = [found[-1].span] if found else []
        fitted = [] if current is None else fitted_spans([*before, current], text)[len(before) :]
        found.extend(TaggedSpan(span, tuple(tokens), following) for span in fitted)

    for token, (tag, (start, stop)) in enumerate(zip(tags, offsets, strict=True)):
        if start == stop or start < reached:
            continue
        reached = stop
        prefix, _, name = tag.partition("-")
        if prefix == "I" and current is not None and current.label == name:
            current = Span(current.start, stop, name)
            tokens.append(token)
            continue
        end(token)
        current, tokens = (Span(start, stop, name), [token]) if prefix == "B" else (None, [])
    end(None)
    return found
