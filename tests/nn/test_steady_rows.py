"""A row's result does not depend on how many rows there are."""

import torch
from torch import nn

from reformer.nn.steady_rows import steady_rows


def test_few_rows_are_mapped_as_many_are():
    linear, rows = nn.Linear(384, 5).eval(), torch.randn(64, 384)
    together = steady_rows(linear, rows)
    for count in (1, 2, 5, 15):
        assert torch.equal(steady_rows(linear, rows[:count]), together[:count])
    torch.testing.assert_close(together, linear(rows))


def test_in_training_nothing_is_added():
    linear, rows = nn.Linear(8, 2), torch.randn(1, 8)
    assert torch.equal(steady_rows(linear, rows), linear(rows))
