"""The classical classifier of texts: what it learns, its bounds, and tf-idf as scikit-learn has it."""

import random

import numpy as np
import pytest
from scipy.sparse import vstack
from sklearn.feature_extraction.text import TfidfVectorizer

from reformer.baselines.ngram_classifier import Budget, NgramClassifier, code_points, ngram_counts, scaled

PICK = random.Random(5)
GOOD, BAD, MIXED = "很好满意", "太差退货", "的了是在"


def _reviews(count: int) -> tuple[list[np.ndarray], np.ndarray]:
    labels = np.array([PICK.randrange(2) for _ in range(count)])
    texts = ["".join(PICK.choices((BAD, GOOD)[label] + MIXED, k=PICK.randint(4, 30))) for label in labels]
    return [code_points(text) for text in texts], labels


def test_it_tells_reviews_apart():
    train, held_out, test = _reviews(200), _reviews(40), _reviews(100)
    model = NgramClassifier.fit(*train, held_out, num_labels=2)
    assert model.learned_from == 200
    assert (model.logits(test[0]).argmax(1) == test[1]).mean() > 0.95


def test_a_label_that_does_not_occur_is_never_the_answer():
    (texts, labels), held_out = _reviews(60), _reviews(20)
    model = NgramClassifier.fit(texts, 2 * labels, (held_out[0], 2 * held_out[1]), num_labels=4)
    assert set(model.logits(texts).argmax(1)) == {0, 2}
    alone = NgramClassifier.fit(texts, np.ones(60, dtype=np.int64), held_out, num_labels=3)
    assert set(alone.logits(texts).argmax(1)) == {1}


@pytest.mark.parametrize("texts", ["甲乙丙丁戊", [""] * 5])
def test_texts_that_have_nothing_in_common_get_the_most_frequent_label(texts):
    sequences, labels = [code_points(text) for text in texts], np.array([0, 1, 2, 1, 1])
    found = NgramClassifier.fit(sequences, labels, (sequences, labels), num_labels=4).logits([code_points("新")] * 2)
    assert np.allclose(found, [[np.log(0.2), np.log(0.6), np.log(0.2), -20]] * 2)
    several = np.array([[1, 0], [0, 1], [0, 1], [0, 0], [0, 1]])
    found = NgramClassifier.fit(sequences, several, (sequences, several), num_labels=2).logits([code_points("新")])
    assert np.allclose(found, [[np.log(0.2 / 0.8), np.log(0.6 / 0.4)]])


@pytest.mark.parametrize(
    ("budget", "texts"), [(Budget(tokens=500), range(10, 50)), (Budget(products=2_000), range(2, 50))]
)
def test_much_text_is_learned_from_a_part_of_it(budget, texts):
    train, held_out = _reviews(200), _reviews(40)
    model = NgramClassifier.fit(*train, held_out, num_labels=2, budget=budget)
    assert model.learned_from in texts


def test_a_share_of_the_text_in_a_share_of_the_time_is_learned_from_alike():
    (texts, labels), held_out = _reviews(200), _reviews(40)
    half = sum(map(len, texts[:100])) / sum(map(len, texts))
    for budget in (Budget(tokens=500), Budget(products=2_000)):
        whole = NgramClassifier.fit(texts, labels, held_out, num_labels=2, budget=budget)
        part = NgramClassifier.fit(texts[:100], labels[:100], held_out, num_labels=2, budget=budget.times(half))
        assert abs(part.learned_from - whole.learned_from / 2) < 0.2 * whole.learned_from
    assert Budget().times(0.0) == Budget(tokens=1, products=1)


def test_few_weights_are_those_of_the_most_frequent_ngrams():
    train, held_out = _reviews(200), _reviews(40)
    model = NgramClassifier.fit(*train, held_out, num_labels=2, budget=Budget(weights=20))
    documents = np.bincount(ngram_counts(train[0], (1, 2, 3), 1 << 20).indices, minlength=1 << 20)
    assert len(model.kept) == 10
    assert documents[model.kept].min() >= np.sort(documents)[-10]


def test_values_are_the_tf_idf_of_scikit_learn():
    texts = ["好好好坏", "坏好", "是非是"]
    expected = TfidfVectorizer(analyzer="char", ngram_range=(1, 1), sublinear_tf=True).fit_transform(texts).toarray()
    counts = ngram_counts([code_points(text) for text in texts], (1,), 1 << 20)
    documents = np.bincount(counts.indices, minlength=1 << 20)
    found = scaled(counts, np.log(4 / (1 + documents)) + 1).toarray()
    np.testing.assert_allclose(np.sort(found[:, documents > 0], 1), np.sort(expected, 1))


def test_counts_do_not_depend_on_the_texts_beside():
    texts = [code_points("".join(PICK.choices(GOOD, k=length))) for length in (1, 9, 0, 4)]
    together = ngram_counts(texts, (1, 2, 3), 997)
    alone = vstack([ngram_counts([text], (1, 2, 3), 997) for text in texts])
    assert (together != alone).nnz == 0
    assert together[2].nnz == 0


def test_cross_fitted_logits_are_those_of_texts_that_are_new():
    """Labels by chance can be learned by heart and not foretold."""
    texts, _ = _reviews(300)
    labels = np.random.default_rng(0).integers(0, 2, 300)
    model = NgramClassifier.fit(texts, labels, (texts, labels), num_labels=2)
    assert (model.logits(texts).argmax(1) == labels).mean() > 0.9
    assert 0.35 < (model.cross_fitted_logits(texts, labels).argmax(1) == labels).mean() < 0.65


def test_cross_fitted_logits_tell_apart_what_can_be_told():
    texts, labels = _reviews(200)
    model = NgramClassifier.fit(texts, labels, _reviews(40), num_labels=2)
    logits = model.cross_fitted_logits(texts, labels)
    assert logits.shape == (200, 2)
    assert (logits.argmax(1) == labels).mean() > 0.95
    # Those of each fold by a fit to the others, with the same penalty.
    assert not np.allclose(logits, model.logits(texts))


def test_a_label_of_one_text_is_the_least_likely_where_the_others_do_not_have_it():
    texts, labels = _reviews(60)
    labels[7] = 2
    model = NgramClassifier.fit(texts, labels, (texts, labels), num_labels=4)
    logits = model.cross_fitted_logits(texts, labels)
    assert logits[7, 2] == logits[7, 3] == logits[7, :2].min()


def test_cross_fitted_logits_of_several_labels():
    texts, labels = _reviews(100)
    several = np.stack([labels, 1 - labels, np.zeros(100, dtype=labels.dtype)], axis=1)
    model = NgramClassifier.fit(texts, several, (texts, several), num_labels=3)
    logits = model.cross_fitted_logits(texts, several)
    assert ((logits[:, :2] > 0) == several[:, :2]).mean() > 0.95
    assert (logits[:, 2] == logits[:, :2].min(1)).all()
