"""What sights see of full attention: their contracts, the mapping of queries and keys, and the table."""

import pytest
import torch

from benchmarks import learning_tables
from benchmarks.contenders.seen_weight import NEAR, SIGHTS, Sight, balanced, seen, seen_weight


@pytest.fixture
def vectors():
    generator = torch.Generator().manual_seed(2)
    query, key = (torch.randn(1, 2, 60, 8, generator=generator) for _ in range(2))
    # Keys that were never normalised share a part, and spread unlike queries.
    return 3 * query, key * torch.linspace(0.2, 2, 8) + 4


@pytest.mark.parametrize("name", SIGHTS)
def test_each_sight_keeps_its_contract(name):
    assert "at most" in seen_weight(name).check() or SIGHTS[name].hashed is None


def test_windows_see_their_keys_and_the_ends_alone(vectors):
    place = torch.arange(60)
    near = (place[:, None] - place).abs() < 5
    generator = torch.Generator()
    assert torch.equal(seen(Sight(5), *vectors, generator)[0, 0], near)
    near[:, [0, -1]] = True
    assert torch.equal(seen(Sight(5, ends=True), *vectors, generator)[0, 1], near)


def test_balanced_queries_and_keys_have_equal_second_moments(vectors):
    query, key = (each.double() for each in balanced(*vectors))
    assert key.mean(2).abs().max() < 1e-4
    of_queries, of_keys = (each.mT @ each / 60 for each in (query, key))
    assert (of_queries - of_keys).abs().max() < 1e-3 * of_keys.abs().max()


def test_keys_that_share_a_part_are_found_once_they_are_centred(vectors):
    far = (torch.arange(60)[:, None] - torch.arange(60)).abs() >= NEAR
    weights = torch.softmax(vectors[0] @ vectors[1].mT / 8**0.5, -1) * far

    def share(name):
        sight = SIGHTS[f"{name}, 8 rounds"]
        return float((weights * seen(sight, *vectors, torch.Generator().manual_seed(0))).sum() / weights.sum())

    assert share("angles of queries and keys") < share("keys centred")


def test_the_table_has_a_column_for_each_layer():
    facts = {"keys": 41.2, "share": 0.5, "by_layer": [0.25, 0.75]}
    row = {"contender": "windows of 16", "action": "measure", "length": 512, "status": "ok", "facts": facts}
    told = learning_tables.seen_weight({"actions": ["measure"], "contracts": {"windows of 16": ""}, "rows": [row]})
    assert "| windows of 16 | 41 | 0.500 | 0.25 | 0.75 |" in told
