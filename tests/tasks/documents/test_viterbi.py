"""The best BIO sequence against trying all of them."""

from itertools import product

import numpy as np

from reformer.data import Span
from reformer.data.label_layers import entity_labels, layer_tags
from reformer.tasks.documents.viterbi import best_tags

LABELS = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


def _is_bio(tags):
    return all(
        not tag.startswith("I-") or before[2:] == tag[2:] for before, tag in zip(["O", *tags], tags, strict=False)
    )


def test_no_other_bio_sequence_scores_more():
    random = np.random.default_rng(0)
    for _ in range(30):
        logits = random.normal(size=(5, 5))
        allowed = [tags for tags in product(range(5), repeat=5) if _is_bio([LABELS[tag] for tag in tags])]
        expected = max(allowed, key=lambda tags: sum(logits[place, tag] for place, tag in enumerate(tags)))
        assert best_tags(logits, LABELS).tolist() == list(expected)


def test_no_other_sequence_of_labels_with_layers_scores_more():
    random = np.random.default_rng(1)
    labels = entity_labels([[Span(0, 5, "X"), Span(1, 3, "Y")]])
    layers = list(zip(*map(layer_tags, labels), strict=True))
    for _ in range(20):
        logits = random.normal(size=(4, len(labels)))
        allowed = [
            tags
            for tags in product(range(len(labels)), repeat=4)
            if all(_is_bio([layer[tag] for tag in tags]) for layer in layers)
        ]
        expected = max(allowed, key=lambda tags: sum(logits[place, tag] for place, tag in enumerate(tags)))
        assert best_tags(logits, labels).tolist() == list(expected)


def test_nothing_gives_nothing():
    assert best_tags(np.zeros((0, 5)), LABELS).tolist() == []


def test_where_each_best_tag_is_allowed_it_is_taken():
    logits = np.eye(5)[[0, 1, 2, 2, 3, 4, 0]]
    assert best_tags(logits, LABELS).tolist() == [0, 1, 2, 2, 3, 4, 0]
