"""The random field against the sum over every path, written out."""

import inspect
import itertools

import pytest
import torch

from reformer.ops import (
    chain_log_partition,
    chain_messages,
    chain_probabilities,
    chain_score,
    chain_segment_log_probability,
)

LABELS, LENGTH = 3, 5
MASKS = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [1, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]]).bool()


def _every_path(scores, transitions, mask):
    """Of one row: the paths of its links, and the score of each."""
    links = scores[mask]
    paths = list(itertools.product(range(LABELS), repeat=len(links)))
    totals = [
        sum(links[place, label] for place, label in enumerate(path))
        + sum(transitions[i, j] for i, j in itertools.pairwise(path))
        for path in paths
    ]
    return paths, torch.stack([torch.as_tensor(total, dtype=scores.dtype) for total in totals])


@pytest.fixture
def field():
    scores = torch.randn(len(MASKS), LENGTH, LABELS, dtype=torch.float64, requires_grad=True)
    transitions = torch.randn(LABELS, LABELS, dtype=torch.float64, requires_grad=True)
    return scores, transitions


def test_values_and_gradients_are_those_of_the_sum_over_all_paths(field):
    scores, transitions = field
    found, probabilities = chain_log_partition(scores, transitions, MASKS)
    expected = torch.stack(
        [_every_path(row, transitions, mask)[1].logsumexp(0) for row, mask in zip(scores, MASKS, strict=True)]
    )
    assert (found - expected).abs().max() < 1e-12
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0, 1.0], dtype=torch.float64)
    ours = torch.autograd.grad((found * weights).sum(), (scores, transitions))
    theirs = torch.autograd.grad((expected * weights).sum(), (scores, transitions))
    for our, their in zip(ours, theirs, strict=True):
        assert (our - their).abs().max() < 1e-12
    # The derivative of the logarithm by a score is that label's probability.
    assert (probabilities * weights[:, None, None] - theirs[0]).abs().max() < 1e-12


@pytest.mark.parametrize("longest", [LENGTH, 1 << 10])
def test_probabilities_by_products_are_those_of_the_recursions(field, longest):
    scores, transitions = field
    _, expected = chain_log_partition(scores, transitions, MASKS)
    assert (chain_probabilities(scores, transitions, MASKS, longest) - expected).abs().max() < 1e-12


@pytest.mark.parametrize(("length", "size"), [(1, 1), (2, 9), (700, 9)])
def test_also_over_long_chains_of_large_scores(length, size):
    scores, transitions = 20 * torch.randn(3, length, size), 5 * torch.randn(size, size)
    mask = torch.rand(3, length) < torch.tensor([[1.1], [0.5], [-1.0]])
    _, expected = chain_log_partition(scores, transitions, mask)
    found = chain_probabilities(scores, transitions, mask, 1024)
    assert (found - expected).abs().max() < 1e-5
    assert not found[2].any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize(("length", "size"), [(1, 3), (2, 3), (31, 7), (32, 7), (33, 7), (64, 7), (65, 7), (1000, 9)])
def test_in_blocks_it_is_what_it_is_token_by_token(length, size, scale, dtype):
    lengths = torch.tensor([length, length, 2 * length // 3 + (length < 3), 1])
    inside = torch.arange(length)[:, None] < lengths
    weights = scale * torch.randn(length, 4, size, dtype=dtype)
    weights = (weights - weights.amax(-1, keepdim=True)).exp()
    ways = (5 * torch.randn(size, size, dtype=dtype)).sigmoid()
    # A pair that no path has.
    ways[0, 1] = 0
    found = chain_messages._in_blocks(weights, ways, inside)
    expected = chain_messages._token_by_token(weights, ways, inside)
    bound = 1e-9 if dtype == torch.float64 else 1e-4
    for name, one, other in zip(("forward", "sums", "backward", "messages"), found, expected, strict=True):
        # The first token sends no message.
        first = int(name == "messages")
        one, other = one[first:][inside[first:]], other[first:][inside[first:]]
        assert ((one - other).abs() <= bound * other.abs().clamp_min(1)).all(), name
    chances = (found[0] * found[2])[inside].sum(-1)
    assert (chances - 1).abs().max() < bound


@pytest.mark.parametrize("size", [1, 3, 7, 13, 19])
def test_no_probability_depends_on_the_chains_beside_it(size):
    """By not one bit, on a CPU: the answers of a server are those of the command."""
    scores, transitions = torch.randn(3, 300, size, dtype=torch.float64), torch.randn(size, size, dtype=torch.float64)
    mask = torch.arange(300) < torch.tensor([[300], [190], [20]])
    together = chain_log_partition(scores, transitions, mask)
    for row, length in enumerate((300, 190, 20)):
        alone = chain_log_partition(scores[row : row + 1, :length], transitions, mask[row : row + 1, :length])
        assert torch.equal(alone[1][0], together[1][row, :length])


@pytest.mark.parametrize("size", [7, 30])
def test_autocast_rounds_nothing(size):
    scores, transitions, mask = torch.randn(2, 90, size), torch.randn(size, size), torch.ones(2, 90, dtype=torch.bool)
    expected, products = (
        chain_log_partition(scores, transitions, mask),
        chain_probabilities(scores, transitions, mask, 90),
    )
    with torch.autocast("cpu", torch.bfloat16):
        found = chain_log_partition(scores, transitions, mask)
        assert torch.equal(chain_probabilities(scores, transitions, mask, 90), products)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_blocks_hold_where_paths_differ_by_two_hundred_orders_of_magnitude(seed):
    """Each label's row of a block is divided by its own sum: by one for all, the row of the path at hand would be 0."""
    torch.manual_seed(seed)
    weights = (200 * torch.randn(300, 3, 7, dtype=torch.float64)).sub_(400).clamp_max_(0).exp()
    weights[..., 0] = 1
    ways = (200 * torch.randn(7, 7, dtype=torch.float64)).sub_(200).clamp_(-600, 0).exp()
    inside = torch.ones(300, 3, dtype=torch.bool)
    found, expected = (
        way(weights, ways, inside) for way in (chain_messages._in_blocks, chain_messages._token_by_token)
    )
    assert all(each.isfinite().all() for each in found)
    assert (found[0] - expected[0]).abs().max() < 1e-9
    assert (found[0] * found[2] - expected[0] * expected[2]).abs().max() < 1e-9


def test_a_bound_that_is_none_is_refused(field):
    with pytest.raises(ValueError, match="5 tokens, and longest=4"):
        chain_probabilities(*field, MASKS, 4)


def test_the_score_of_a_path(field):
    scores, transitions = field
    path = torch.randint(0, LABELS, MASKS.shape).masked_fill(~MASKS, -100)
    found = chain_score(scores, transitions, path, MASKS)
    for row, mask in enumerate(MASKS):
        paths, totals = _every_path(scores[row], transitions, mask)
        assert torch.isclose(found[row], totals[paths.index(tuple(path[row][mask].tolist()))])


# Row, first token, and the labels that each token of the segment may have.
SEGMENTS = [
    (0, 0, [{0}]),
    (0, 1, [{0}, {1}, {0, 2}]),
    (0, 3, [{2}, {1}]),
    (1, 2, [{0, 1, 2}, {1}]),
    (2, 0, [{1}, {1, 2}]),
    (3, 3, [{2}]),
]


def _segments():
    longest = max(len(sets) for _, _, sets in SEGMENTS)
    allowed = torch.zeros(len(SEGMENTS), longest, LABELS, dtype=torch.bool)
    for number, (_, _, sets) in enumerate(SEGMENTS):
        for place, labels in enumerate(sets):
            allowed[number, place, list(labels)] = True
    rows, starts, lengths = (torch.tensor(each) for each in zip(*((r, s, len(a)) for r, s, a in SEGMENTS), strict=True))
    return rows, starts, allowed, lengths


@pytest.mark.parametrize("forbidden", [[], [(1, 2), (0, 2)]])
def test_the_probability_of_a_segment_is_the_share_of_the_paths_that_have_it(field, forbidden):
    scores, transitions = (each.detach() for each in field)
    for pair in forbidden:
        transitions[pair] = float("-inf")
    found = chain_segment_log_probability(scores, transitions, MASKS, *_segments()).exp()
    for (row, start, sets), probability in zip(SEGMENTS, found, strict=True):
        paths, totals = _every_path(scores[row], transitions, MASKS[row])
        first = int(MASKS[row][:start].sum())
        has = torch.tensor([all(path[first + i] in labels for i, labels in enumerate(sets)) for path in paths])
        weights = totals.softmax(0)
        assert abs(probability - weights[has].sum()) < 1e-12


def test_a_segment_of_a_long_chain_keeps_its_probability():
    scores, transitions = 10 * torch.randn(1, 3000, 4), torch.randn(4, 4)
    mask = torch.ones(1, 3000, dtype=torch.bool)
    at, one = torch.tensor([2900, 0]), torch.zeros(2, dtype=torch.int64)
    allowed = torch.zeros(2, 3000, 4, dtype=torch.bool)
    allowed[0, :50] = allowed[1] = True
    lengths = torch.tensor([50, 3000])
    everything = chain_segment_log_probability(scores, transitions, mask, one, at, allowed, lengths)
    assert everything.abs().max() < 1e-3
    allowed[0, 0, 1:] = False
    found = chain_segment_log_probability(scores.double(), transitions.double(), mask, one, at, allowed, lengths)[0]
    _, marginals = chain_log_partition(scores.double(), transitions.double(), mask)
    assert abs(found.exp() - marginals[0, 2900, 0]) < 1e-10


def test_what_no_path_has_is_impossible(field):
    scores, transitions = (each.detach() for each in field)
    transitions[0, 1] = float("-inf")
    rows, starts, allowed, lengths = (each[1:2] for each in _segments())
    assert chain_segment_log_probability(scores, transitions, MASKS, rows, starts, allowed, lengths).tolist() == [
        float("-inf")
    ]


def test_segments_outside_of_their_chain_are_refused(field):
    rows, starts, allowed, lengths = _segments()
    with pytest.raises(ValueError, match="1 of 6 segments are not inside"):
        chain_segment_log_probability(*field, MASKS, rows, starts, allowed, lengths + torch.tensor([0, 0, 1, 0, 0, 0]))
    with pytest.raises(ValueError, match="1 of 6 segments"):
        chain_segment_log_probability(*field, MASKS, rows, starts, allowed, lengths * torch.tensor([0, 1, 1, 1, 1, 1]))
    with pytest.raises(ValueError, match="1 of 6 segments"):
        chain_segment_log_probability(*field, MASKS, rows, starts - (rows == 3).long(), allowed, lengths)
    with pytest.raises(ValueError, match="expected one of each"):
        inspect.unwrap(chain_segment_log_probability)(*field, MASKS, rows, starts, allowed[1:], lengths)
    none = rows[:0], starts[:0], allowed[:0], lengths[:0]
    assert len(chain_segment_log_probability(*field, MASKS, *none)) == 0


def test_no_length_overflows():
    scores, transitions = 40 * torch.randn(1, 3000, 4), torch.randn(4, 4)
    found, probabilities = chain_log_partition(scores, transitions, torch.ones(1, 3000, dtype=torch.bool))
    total = scores[0, 0].double()
    for row in scores[0, 1:].double():
        total = (total[:, None] + transitions.double()).logsumexp(0) + row
    assert abs(found / total.logsumexp(0) - 1) < 1e-5
    assert (probabilities.sum(-1) - 1).abs().max() < 1e-4


def test_probabilities_have_no_gradient(field):
    _, probabilities = chain_log_partition(*field, MASKS)
    with pytest.raises(RuntimeError, match="give the model labels"):
        probabilities.sum().backward()


def test_it_is_one_node_for_the_compiler(field):
    scores, transitions = field
    torch.library.opcheck(torch.ops.reformer.linear_chain.default, (scores.detach(), transitions.detach(), MASKS))


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"expected \[batch, length, labels\]"):
        inspect.unwrap(chain_log_partition)(torch.zeros(1, 2, 3), torch.zeros(2, 2), torch.ones(1, 2, dtype=torch.bool))
