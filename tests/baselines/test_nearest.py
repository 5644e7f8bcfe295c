"""The nearest training example, of texts and of pixels."""

import numpy as np

from reformer.baselines import nearest
from reformer.baselines.nearest import NearestText, nearest_images


def test_a_text_finds_itself_and_what_is_like_it():
    texts = ["今天天气很好", "明天会下雨吗", "火车几点开"]
    known = NearestText.fit(texts)
    assert known.compared_with == 3
    assert list(known.nearest([*texts, "明天天气好吗会下雨"])) == [0, 1, 2, 1]


def test_very_many_texts_are_compared_in_part(monkeypatch):
    monkeypatch.setattr(nearest, "MAX_CHARACTERS", 12)
    assert NearestText.fit(["今天天气很好"] * 5).compared_with == 2


def test_an_image_finds_the_nearest_by_distance():
    images = np.random.default_rng(3).normal(size=(20, 12)).astype(np.float32)
    others = images + 0.01
    expected = [int(((images - other) ** 2).sum(1).argmin()) for other in others]
    assert nearest_images(images, others).tolist() == expected == list(range(20))
