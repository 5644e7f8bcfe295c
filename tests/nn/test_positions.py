"""Positions of every kind."""

import math

import torch

from reformer.nn.positions import AxialPositions, LearnedPositions, SinusoidalPositions, rotary_waves, rotate
from reformer.nn.rotary_scaling import rotary_frequencies


def test_axial_positions_are_their_digits():
    layer = AxialPositions([2, 3, 4], [5, 6, 7])
    found = layer(torch.arange(24)[None])[0]
    for position in range(24):
        slow, middle, fast = position // 12, position // 4 % 3, position % 4
        weights = layer.weights
        expected = torch.cat((weights[0][slow, 0, 0], weights[1][0, middle, 0], weights[2][0, 0, fast]))
        assert torch.equal(found[position], expected)


def test_axial_positions_serve_every_shorter_length():
    layer = AxialPositions([4, 8], [3, 5])
    assert torch.equal(layer(torch.arange(32)[None])[:, :13], layer(torch.arange(13)[None]))


def test_learned_positions():
    layer = LearnedPositions(7, 3)
    assert torch.equal(layer(torch.tensor([[6, 0]])), layer.table.weight[[6, 0]][None])


def test_sinusoidal_positions_are_their_equation():
    found = SinusoidalPositions(6)(torch.tensor([[0, 1, 50]]))[0]
    for row, position in enumerate((0, 1, 50)):
        for k in range(3):
            angle = position / 10000 ** (2 * k / 6)
            assert math.isclose(found[row, k], math.sin(angle), abs_tol=1e-6)
            assert math.isclose(found[row, 3 + k], math.cos(angle), abs_tol=1e-6)


def test_rotary_scores_depend_on_the_distance_alone_even_far_out():
    query, key = torch.randn(2, 1, 1, 1, 16)

    def score(at, distance):
        waves = [rotary_waves(torch.tensor([[position]]), 16) for position in (at, at - distance)]
        return (rotate(query, waves[0]) * rotate(key, waves[1])).sum()

    assert abs(score(7, 7) - score(10**9, 7)) < 1e-5
    assert abs(score(7, 7) - score(7, 3)) > 1e-2
    assert torch.isclose(rotate(query, rotary_waves(torch.tensor([[123]]), 16)).norm(), query.norm())


def test_rotary_positions_of_a_part_leave_the_other_channels():
    vectors = torch.randn(1, 2, 5, 16, dtype=torch.float64, requires_grad=True)
    waves = rotary_waves(torch.arange(5)[None], 6)
    found = rotate(vectors, waves)
    assert torch.equal(found[..., 6:], vectors[..., 6:])
    assert torch.equal(found[..., :6], rotate(vectors[..., :6], waves))
    assert torch.autograd.gradcheck(lambda given: rotate(given, waves), vectors)


def test_yarns_factor_lengthens_and_has_its_gradient():
    scaling = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 16}
    waves = rotary_waves(torch.arange(5)[None], 16, 10000.0, scaling)
    vectors = torch.randn(1, 2, 5, 16, dtype=torch.float64, requires_grad=True)
    found = rotate(vectors, waves).norm(dim=-1) / vectors.norm(dim=-1)
    assert (found - (1 + 0.1 * math.log(8))).abs().max() < 1e-6
    assert torch.autograd.gradcheck(lambda given: rotate(given, waves), vectors)


def test_scaled_frequencies_lie_between_the_plain_and_the_slowed():
    plain = rotary_frequencies(32, 10000)
    llama3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 512}
    for kind, numbers in (("llama3", llama3), ("yarn", {"original_max_position_embeddings": 512})):
        found = rotary_frequencies(32, 10000, {"rope_type": kind, "factor": 4.0, **numbers}) / plain
        assert (found[0], found[-1]) == (1, 0.25)
        assert (found.diff() <= 0).all()
        assert ((found < 1) & (found > 0.25)).any()
    assert torch.equal(rotary_frequencies(32, 10000, {"rope_type": "linear", "factor": 4.0}), plain / 4)
