"""The last inputs of the pieces before, whatever padding stands between them."""

import torch

from reformer.nn import Tokens
from reformer.nn.memory import Memory
from reformer.nn.past_inputs import after_history, pack_real, unpack


def test_packed_tokens_go_back_to_their_places():
    inputs, mask = (
        torch.randn(2, 5, 3),
        torch.tensor([[False, True, False, True, True], [True, False, False, False, True]]),
    )
    packed, order = pack_real(inputs, mask)
    assert torch.equal(packed[0, :3], inputs[0, [1, 3, 4]])
    assert not packed[1, 2:].any()
    assert torch.equal(unpack(packed, order), inputs.masked_fill(~mask[..., None], 0))


def test_padding_in_a_piece_is_not_remembered():
    inputs, memory = torch.arange(1.0, 11).view(1, 10, 1), Memory()
    real = torch.tensor([[True, True, False, True, False, False, True, True, True, False]])
    seen = []
    for begin, end in ((0, 3), (3, 6), (6, 10)):
        tokens = Tokens.of(real[:, begin:end])
        both, order = after_history(inputs[:, begin:end], tokens, memory, "inputs", 2)
        assert order is not None
        seen.append(both.flatten().tolist())
    assert seen[0] == [0, 0, 1, 2, 0]
    assert seen[1] == [1, 2, 4, 0, 0]
    assert seen[2] == [2, 4, 7, 8, 9, 0]
    assert memory.tensors["inputs"].flatten().tolist() == [8, 9]
