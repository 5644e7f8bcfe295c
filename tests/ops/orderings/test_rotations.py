import torch

from reformer.ops import random_rotations, rotations_of_rounds


def test_fewer_rounds_are_the_first_and_further_ones_come_in_one_order():
    kept = random_rotations(2, 3, 8, [4, 6])
    for rotation, fewer, more, most in zip(kept, *(rotations_of_rounds(kept, n) for n in (2, 5, 9)), strict=True):
        assert torch.equal(fewer, rotation[:, :2])
        assert torch.equal(more[:, :3], rotation)
        assert torch.equal(most[:, :5], more)


def test_further_rounds_are_gaussian_and_those_of_these_rotations_alone():
    torch.manual_seed(1)
    kept, others = random_rotations(4, 1, 32, 64), random_rotations(4, 1, 32, 64)
    before = torch.get_rng_state()
    further = rotations_of_rounds(kept, 17)[0][:, 1:]
    assert torch.equal(torch.get_rng_state(), before)
    assert abs(float(further.mean())) < 0.02
    assert abs(float(further.std()) - 1) < 0.02
    assert torch.corrcoef(further.transpose(0, 1).flatten(1)).fill_diagonal_(0).abs().max() < 0.1
    assert not torch.equal(further, rotations_of_rounds(others, 17)[0][:, 1:])


def test_no_dtype_changes_them():
    kept = random_rotations(2, 1, 16, 8)
    coarse = tuple(rotation.bfloat16() for rotation in kept)
    assert torch.equal(rotations_of_rounds(coarse, 4)[0][:, 1:], rotations_of_rounds(kept, 4)[0][:, 1:].bfloat16())


def test_the_operator_can_be_traced():
    operator = torch.ops.reformer.further_rotations.default
    torch.library.opcheck(operator, (random_rotations(2, 1, 8, 4)[0], 3))
