"""Characters read over pieces: padding changes nothing, and a character sees its neighbours."""

import torch

from reformer.nn import CharacterReader


def test_padding_and_batch_mates_change_nothing():
    torch.manual_seed(0)
    reader = CharacterReader(12, 8).double()
    pieces, own = torch.randn(2, 5, 12).double(), torch.randn(2, 9, 8).double()
    piece_of = torch.tensor([[1, 1, 1, 2, 2, 3, 3, 3, 3], [0, 0, 1, -1, -1, -1, -1, -1, -1]])
    places = torch.tensor([[0, 1, 2, 0, 1, 0, 1, 2, 3], [0, 1, 0, 0, 0, 0, 0, 0, 0]])
    found = reader(pieces, piece_of, own, places)
    assert found.shape == (2, 9, 12)
    alone = reader(pieces[1:, :2], piece_of[1:, :3], own[1:, :3], places[1:, :3])
    assert (found[1:, :3] - alone).abs().max() < 1e-12


def test_it_reads_the_piece_the_character_its_place_and_two_neighbours():
    torch.manual_seed(0)
    reader = CharacterReader(12, 12)
    pieces, own, piece_of = torch.randn(1, 4, 12), torch.randn(1, 8, 12), torch.arange(8)[None] // 2
    before = reader(pieces, piece_of, own, torch.zeros_like(piece_of))
    for change in ("piece", "character", "place"):
        changed_pieces, changed_own, places = pieces.clone(), own.clone(), torch.zeros_like(piece_of)
        if change == "piece":
            changed_pieces[0, 0] += torch.randn(12)
        elif change == "character":
            changed_own[0, 1] += torch.randn(12)
        else:
            places[0, 1] = 9
        moved = (reader(changed_pieces, piece_of, changed_own, places) - before).abs().amax(-1)[0] > 1e-6
        assert moved.tolist() == [True] * 4 + [False] * 4
