"""Key tables: of each bucket the last keys alone, and the same keys near one query as among all."""

import torch

from reformer.nn.key_tables import KeyTables, continued_slots
from reformer.nn.memory import Memory
from reformer.ops.orderings import BUCKET_STRIDE

SHAPE = ((1, 3), (2, 2))
"""A position ordering with a window of 3, and two buckets with one of 2."""


def _filled(length):
    """Tables after keys whose vectors are their positions; odd positions are in bucket 1."""
    tables, position = KeyTables(Memory(), SHAPE), torch.arange(length)
    key = position[None, None, :, None].float()
    slots = torch.stack((position, position % 2 * BUCKET_STRIDE + position // 2))[None, None]
    tables.prepare(key, 1)
    tables.update(key, -key, slots)
    return tables


def test_they_hold_the_last_keys_of_each_bucket_once():
    key, value, slots = _filled(9).all()
    there = (slots >= 0).any(2)
    assert torch.equal(value, -key)
    # The position ordering has 6, 7 and 8; the buckets add 5 (of 5 and 7) and nothing else that is not there already.
    assert sorted(key[there].flatten().tolist()) == [5, 6, 7, 8]
    assert [int(count) for ordering in range(2) for count in _filled(9).counts(ordering).flatten()] == [9, 5, 4]


def test_one_query_finds_the_keys_in_its_windows():
    tables = _filled(9)
    query_slots = torch.tensor([8, 1 * BUCKET_STRIDE + 3])[None, None, :, None]
    key, _, slots = tables.near(query_slots)
    there = (slots >= 0).any(2)
    # Positions 6 to 8, and of bucket 1 its ranks 2 and 3, the positions 5 and 7, the latter once.
    assert sorted(key[there].flatten().tolist()) == [5, 6, 7, 8]


def test_slots_go_on_from_what_each_bucket_has_had():
    slots = torch.tensor([0, BUCKET_STRIDE, BUCKET_STRIDE + 1, -1])[None, None, None]
    earlier = torch.tensor([5, 4])[None, None, None]
    assert continued_slots(slots, earlier).flatten().tolist() == [5, BUCKET_STRIDE + 4, BUCKET_STRIDE + 5, -1]
