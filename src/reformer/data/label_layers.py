"""Layers of labels: where entities overlap, a label is the BIO tags of several taggers, one for each layer."""

from collections.abc import Iterable, Sequence
from itertools import product

from reformer.data.documents import Span
from reformer.data.errors import DataError

SEPARATOR = "\x1f"
"""Between the tags of a label; no type has it."""


def layer_tags(label: str) -> tuple[str, ...]:
    """The BIO tags of a label, one for each layer: of most models one.

    >>> layer_tags("I-ORG\\x1fB-LOC")
    ('I-ORG', 'B-LOC')
    """
    parts = tuple(label.split(SEPARATOR))
    return parts if all(part == "O" or part.startswith(("B-", "I-")) for part in parts) else (label,)


def types_of(labels: Iterable[str]) -> list[str]:
    """The types of entities that labels know, sorted."""
    return sorted({tag[2:] for label in labels for tag in layer_tags(label)} - {""})


def layers_of(spans: Iterable[Span]) -> list[list[Span]]:
    """The spans in as few layers as can be within which none overlap, each in order; of nested ones the outer is in the
    first.

    >>> spans = [Span(0, 5, "ORG"), Span(1, 3, "LOC"), Span(5, 6, "PER")]
    >>> [[each.label for each in layer] for layer in layers_of(spans)]
    [['ORG', 'PER'], ['LOC']]
    """
    layers: list[list[Span]] = []
    for span in sorted(spans, key=lambda each: (each.start, -each.end, each.label)):
        layer = next((layer for layer in layers if layer[-1].end <= span.start), None)
        if layer is None:
            layers.append([span])
        else:
            layer.append(span)
    return layers


def entity_labels(spans_of_texts: Iterable[Sequence[Span]]) -> list[str]:
    """The labels of a tagger of these entities: `bio_labels` of their types where none overlap. Where some do, each
    label has a tag for each layer, and there is one for each combination of types that is met, each with `B-` and `I-`.

    >>> entity_labels([[Span(0, 1, "LOC")]])
    ['O', 'B-LOC', 'I-LOC']
    >>> [label.replace("\\x1f", " ") for label in entity_labels([[Span(0, 5, "X"), Span(1, 3, "Y")]])]
    ['O O', 'B-X O', 'I-X O', 'B-Y O', 'I-Y O', 'B-X B-Y', 'B-X I-Y', 'I-X B-Y', 'I-X I-Y']

    Raises:
        DataError: a type with the `SEPARATOR` in its name.
    """
    types: set[str] = set()
    met: set[tuple[str, ...]] = set()
    for spans in spans_of_texts:
        types |= {span.label for span in spans}
        layers = layers_of(spans)
        if len(layers) > 1:
            met |= _combinations(layers)
    unwritable = next((name for name in sorted(types) if SEPARATOR in name), None)
    if unwritable is not None:
        problem = f"the type {unwritable!r} has the character {SEPARATOR!r}, which stands between the tags of layers"
        raise DataError(None, None, problem, "give the type another name")
    depth = max(map(len, met), default=1)
    alone = ((f"{letter}-{name}",) for name in sorted(types) for letter in "BI")
    rows: list[tuple[str, ...]] = [("O",), *alone]
    for names in sorted(met, key=lambda each: (sum(map(bool, each)), each)):
        rows += product(*((f"B-{name}", f"I-{name}") if name else ("O",) for name in names))
    return [SEPARATOR.join(row + ("O",) * (depth - len(row))) for row in rows]


def _combinations(layers: Sequence[Sequence[Span]]) -> set[tuple[str, ...]]:
    """The types in each layer wherever there is one behind the first; "" for none, and nothing for those at the end."""
    found: set[tuple[str, ...]] = set()
    borders = sorted({place for layer in layers for span in layer for place in (span.start, span.end)})
    reached = [0] * len(layers)
    for place in borders[:-1]:
        names: list[str] = []
        for number, layer in enumerate(layers):
            while reached[number] < len(layer) and layer[reached[number]].end <= place:
                reached[number] += 1
            here = layer[reached[number]] if reached[number] < len(layer) else None
            names.append(here.label if here is not None and here.start <= place else "")
        while names and not names[-1]:
            names.pop()
        if len(names) > 1:
            found.add(tuple(names))
    return found
