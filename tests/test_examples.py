"""Every example runs, and says what it promises."""

import runpy
from pathlib import Path

import pytest

SAYS = {
    "attention": "of its attention",
    "stream": "5000 tokens read",
    "label": "乌鲁木齐",
    "translate": "86420 八六四二零",
    "forecast": "2024-02-10 23:00:00",
    "images": "digits it has never seen",
    "answer": "王？ 28个瓜 16:20",
    "long_row": "of 4097 tokens, 4097 of them here",
    "caption": "new.png 左边有一条蓝色",
}
"""What must be in an example's output."""

WITH_ARGUMENTS = {"label_onnx", "train_on_ray"}
"""Examples of an exported model, which `tests/export` runs, and of Ray, which `tests/ray` does."""

EXAMPLES = [
    path for path in sorted((Path(__file__).parent.parent / "examples").glob("*.py")) if path.stem not in WITH_ARGUMENTS
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_it_runs(example, capsys):
    runpy.run_path(str(example), run_name="__main__")
    assert SAYS[example.stem] in capsys.readouterr().out


def test_there_are_examples():
    assert {path.stem for path in EXAMPLES} == set(SAYS)
