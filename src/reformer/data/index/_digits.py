"""scikit-learn's handwritten digits, with labels or captions."""

import numpy as np

from reformer.data.images import Image

_DIGITS_SHADES = 16


def load_digits(*, captions: bool = False) -> dict[str, list[Image]]:
    """1,797 handwritten digits of 8 x 8 pixels, which come with scikit-learn: 80 % train, 10 % validation, 10 % test.

    The split is random, by a fixed seed, so the same writers stand in all three. The label of each is its digit, or
    with `captions` a sentence about it.

    >>> load_digits(captions=True)["train"][0].label
    '手写的数字六，是双数。'
    """
    from sklearn.datasets import load_digits as load

    found = load(return_X_y=False)
    pixels, labels = np.asarray(found["images"]), np.asarray(found["target"])  # pyright: ignore
    order = np.random.default_rng(0).permutation(len(pixels))
    images = [
        Image(
            (pixels[index] / _DIGITS_SHADES).astype(np.float32)[None],
            f"digits:{index}",
            _caption(int(labels[index])) if captions else str(labels[index]),
        )
        for index in order
    ]
    ends = len(images) * 8 // 10, len(images) * 9 // 10
    return {"train": images[: ends[0]], "validation": images[ends[0] : ends[1]], "test": images[ends[1] :]}


def _caption(digit: int) -> str:
    return f"手写的数字{'零一二三四五六七八九'[digit]}，是{'单' if digit % 2 else '双'}数。"
