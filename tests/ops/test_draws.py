"""Draws for the tokens of a part of the rows are of this part alone, and leave all other draws as they are."""

import torch

from reformer.ops.draws import drawing_for_part, drawing_from, dropout, generator, token_generator


def _dropped(process: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    with drawing_for_part(process):
        found = dropout(torch.ones(size), 0.5, True)
        # A second draw, of as many numbers, goes on from the first one.
        assert not torch.equal(found, dropout(torch.ones(size), 0.5, True))
    return found, torch.get_rng_state()


def test_every_part_draws_by_itself_and_all_go_on_alike():
    (first, state), (second, other) = _dropped(0, 64), _dropped(1, 64)
    assert not torch.equal(first, second)
    assert torch.equal(state, other)
    # Of parts of other sizes as well.
    assert torch.equal(_dropped(1, 640)[1], state)
    assert torch.equal(_dropped(1, 64)[0], second)


def test_where_nothing_drops_out_nothing_is_drawn():
    before = torch.get_rng_state()
    with drawing_for_part(1):
        assert torch.equal(dropout(torch.ones(4), 0.0, True), torch.ones(4))
        assert torch.equal(dropout(torch.ones(4), 0.5, False), torch.ones(4))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_seed_of_a_part_is_of_the_generator_that_all_draw_from():
    found = []
    for seed in (1, 1, 2):
        with drawing_from(torch.Generator().manual_seed(seed)), drawing_for_part(0):
            found.append(dropout(torch.ones(64), 0.5, True))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert token_generator(torch.device("cpu")) is generator() is None
