"""The shapes in annotations are really checked while tests run."""

import jaxtyping
import pytest
import torch

from reformer.nn.full_attention import full_attention

from .conftest import repeated


def test_a_wrong_shape_is_noticed():
    query, key = torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 5, 4)
    with pytest.raises(Exception, match="length"):
        full_attention(query, key, key, None, False)


@pytest.mark.parametrize("second", [0, 1])
@pytest.mark.parametrize("first", [0, 1])
def test_a_repeated_combination_of_values_is_not_checked(first, second, request):
    alone = request.session.testscollected == 1
    assert jaxtyping.config.jaxtyping_disable == (not alone and (first, second) == (1, 1))


@pytest.mark.shapes
@pytest.mark.parametrize("second", [0, 1])
@pytest.mark.parametrize("first", [0, 1])
def test_a_marked_test_is_always_checked(first, second):
    assert not jaxtyping.config.jaxtyping_disable


def test_each_value_of_each_test_is_checked_once():
    calls = [("a", {"x": 0}), ("a", {"x": 0}), ("b", {"x": 0}), ("a", {"x": 0, "y": 1}), ("a", {"x": 1, "y": 1})]
    assert list(repeated(calls)) == [False, True, False, False, False]
    assert list(repeated([*calls, ("a", {"x": 1, "y": 1}), ("c", {}), ("c", {})]))[5:] == [True, False, False]
