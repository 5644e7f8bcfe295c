"""Numbers and categories as vectors."""

import torch

from reformer.nn import CovariateFeatures


def test_numbers_have_a_flag_and_categories_a_row():
    features = CovariateFeatures(2, [3])
    features.reset()
    numbers = torch.tensor([[1.5, float("nan")], [0.0, -2.0]])
    found = features(numbers, torch.tensor([[2], [0]]))
    assert found.shape == (2, features.width)
    assert found[0, :4].tolist() == [1.5, 0, 1, 0]
    assert found[1, :4].tolist() == [0, -2, 1, 1]
    assert torch.equal(found[0, 4:], features.tables[0].weight[2])
    assert not found[1, 4:].any()


def test_what_is_missing_has_no_gradient():
    features = CovariateFeatures(1, [3])
    features.reset()
    numbers = torch.tensor([[float("nan")]], requires_grad=True)
    features(numbers, torch.tensor([[0]])).sum().backward()
    assert numbers.grad.item() == 0
    assert not features.tables[0].weight.grad.any()


def test_a_table_is_half_as_wide_as_it_has_rows_and_never_wider_than_fifty():
    assert [table.embedding_dim for table in CovariateFeatures(0, [2, 9, 1000]).tables] == [1, 5, 50]
    assert CovariateFeatures(0, []).width == 0
