"""The classical labeller of texts: what it learns, its bounds, its weights, and a package that is not there."""

import sys

import numpy as np
import pytest
import torch

from reformer.baselines.ngram_classifier import code_points
from reformer.baselines.ngram_tagger import PASSES, SECONDS_TO_READ, SECONDS_TO_WEIGH, MissingPackageError, NgramTagger
from reformer.nn.ngrams import group_rows, groups_around

TEXTS = ["我去北京", "江泽民来了", "他不在上海"]
TAGS = [[0, 0, 1, 2], [3, 4, 4, 0, 0], [0, 0, 0, 1, 2]]


def _sentences() -> tuple[list[np.ndarray], list[np.ndarray]]:
    return [code_points(text) for text in TEXTS], [np.array(tags) for tags in TAGS]


def test_it_learns_three_sentences_by_heart():
    texts, tags = _sentences()
    model = NgramTagger.fit(texts, tags, num_tags=5)
    assert [found.tolist() for found in model.tags(texts)] == TAGS
    assert next(iter(model.tags([np.zeros(0, dtype=np.int64)]))).tolist() == []


def test_a_token_without_a_tag_is_left_out():
    texts, tags = _sentences()
    tags[0][0] = -100
    model = NgramTagger.fit(texts, tags, num_tags=5)
    assert [found.tolist() for found in model.tags(texts)][1:] == TAGS[1:]


def test_much_text_is_read_with_fewer_iterations_then_by_a_perceptron_and_then_in_part():
    texts, tags = _sentences()

    def fitted(seconds_a_token):
        # 140 tokens in all.
        return NgramTagger.fit(texts * 10, tags * 10, num_tags=5, minutes=140 * seconds_a_token / 60)

    iteration = SECONDS_TO_WEIGH * (12 + 25 + 20)
    fewer, perceptron = fitted(SECONDS_TO_READ + 80.5 * iteration), fitted(SECONDS_TO_READ + 50.5 * iteration)
    part = fitted((SECONDS_TO_READ + PASSES * iteration) / 4.9)
    assert (fitted(1.0).method, fitted(1.0).learned_from) == ("L-BFGS of 100 iterations", 30)
    assert (fewer.method, fewer.learned_from) == ("L-BFGS of 80 iterations", 30)
    assert (perceptron.method, perceptron.learned_from) == ("averaged perceptron of 10 passes", 30)
    assert (part.method, part.learned_from) == ("averaged perceptron of 10 passes", 6)
    assert [found.tolist() for found in perceptron.tags(texts)] == TAGS


def test_its_weights_are_those_it_tags_with():
    texts, tags = _sentences()
    model = NgramTagger.fit(texts, tags, num_tags=5, rows=50_021)
    table, transitions = model.weights(5)
    for text, found in zip(texts, model.tags(texts), strict=True):
        rows = group_rows(torch.from_numpy(text)[None] + 1, groups_around(model.sizes), model.rows)[0].numpy()
        scores = table[rows].sum(1)
        total, steps = scores[0], []
        for row in scores[1:]:
            steps.append((total[:, None] + transitions).argmax(0))
            total = (total[:, None] + transitions).max(0) + row
        best = [int(total.argmax())]
        for step in reversed(steps):
            best.append(int(step[best[-1]]))
        assert best[::-1] == found.tolist()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycrfsuite", None)
    texts, tags = _sentences()
    with pytest.raises(MissingPackageError, match=r"not installed .*; pip install python-crfsuite"):
        NgramTagger.fit(texts, tags, num_tags=5)
