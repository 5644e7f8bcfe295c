"""Splits of a recipe's documents."""

import pytest

from reformer.data import Document
from reformer.recipe import RecipeError
from reformer.tasks.document_splits import first_part, load_splits
from reformer.tasks.recipe_checks import checked_recipe
from tests.tiny import ner_recipe


@pytest.mark.parametrize(("fraction", "kept"), [(0.3, 1), (0.31, 2), (0.5, 2), (0.51, 3), (0.999, 3)])
def test_the_first_documents_with_a_share_of_the_characters(fraction, kept):
    documents = [Document(text, text) for text in ("一二三", "四五", "六七八九十")]
    assert first_part(documents, fraction) == documents[:kept]


def test_nothing_has_no_first_part():
    assert first_part([], 0.5) == []


def test_the_fraction_is_of_the_training_documents_before_they_are_joined(tmp_path):
    tables = ner_recipe(tmp_path)
    whole = load_splits(checked_recipe(tables).data, 0)
    tables["data"]["train_fraction"] = 0.5
    half = load_splits(checked_recipe(tables).data, 0)
    assert half.test == whole.test
    lengths = [sum(len(each.text.replace("\n", "")) for each in [*splits.train, *splits.validation])
               for splits in (half, whole)]  # fmt: skip
    assert lengths[0] == pytest.approx(lengths[1] / 2, rel=0.1)


@pytest.mark.parametrize("fraction", [0, 1, -0.1])
def test_a_fraction_that_is_none_is_refused(fraction, tmp_path):
    tables = ner_recipe(tmp_path)
    tables["data"]["train_fraction"] = float(fraction)
    with pytest.raises(RecipeError, match=r"data\.train_fraction"):
        checked_recipe(tables)
