"""Which streams go through a sub-layer in parts, in which, and when a layer is called as a whole nonetheless."""

import pytest
import torch
from torch import nn

from reformer.nn import token_parts
from reformer.nn.token_parts import Sums, is_called_plainly, parts_of, slices


def test_parts_cover_every_token_once():
    assert slices(7, 3) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert slices(6, 3) == [slice(0, 3), slice(3, 6)]
    assert slices(0, 3) == []


def test_long_streams_alone_are_run_in_parts(monkeypatch):
    monkeypatch.setattr(token_parts, "WHOLE_BYTES", 1 << 12)
    monkeypatch.setattr(token_parts, "PART_BYTES", 1 << 10)
    assert parts_of(torch.zeros(2, 64, 8)) is None
    assert parts_of(torch.zeros(2, 65, 8)) == slices(65, 16)
    assert parts_of(torch.zeros(2, 65, 8, device="meta")) is None
    # A part has a token at least, however wide a batch is.
    assert parts_of(torch.zeros(300, 2, 8)) == slices(2, 1)


def _hooked(register):
    module = nn.Linear(2, 2)
    getattr(module, register)(lambda *arguments: None)
    return module


def test_whatever_stands_around_a_call_is_seen():
    assert is_called_plainly(nn.Linear(2, 2))
    for register in ("register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook"):
        assert not is_called_plainly(_hooked(register)), register
    replaced = nn.Linear(2, 2)
    replaced.forward = lambda hidden: hidden
    assert not is_called_plainly(replaced)


def test_sums_leave_out_what_no_part_has_found():
    sums = Sums([torch.zeros(2)] * 2)
    for part in (1.0, 2.0):
        sums.add([torch.full((2,), part), None])
    found, nothing = sums.found
    assert found.tolist() == [3.0, 3.0]
    assert nothing is None


@pytest.mark.parametrize("length", [1, 4, 9])
def test_tokens_of_a_part_have_its_mask_and_waves(length):
    from reformer.nn import Tokens

    waves = (torch.randn(1, 1, length, 3), torch.randn(1, 1, length, 3))
    tokens = Tokens(torch.arange(length)[None] < 3, True, torch.arange(length)[None, None, None], {"lsh": waves})
    for part in slices(length, 2):
        mine = tokens.sliced(part)
        assert torch.equal(mine.mask, tokens.mask[:, part])
        assert torch.equal(mine.positions, tokens.positions[:, part])
        assert all(torch.equal(one, all_of[:, :, part]) for one, all_of in zip(mine.rotary["lsh"], waves, strict=True))
