"""Path score, log-partition and segment probability of a linear-chain conditional random field (`docs/math.md`, 45)."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from reformer.ops.autocast import without_autocast

BLOCK = 32
"""Tokens of a block of a chain. It is of one size, and chosen by the number of labels alone, so that no chain's numbers
depend on the chains beside it."""
MOST_LABELS = 20
"""Up to which blocks are taken: the third power of their number is computed for each token."""


def chain_score(
    scores: Float[Tensor, "batch length labels"],
    transitions: Float[Tensor, "labels labels"],
    path: Int[Tensor, "batch length"],
    mask: Bool[Tensor, "batch length"],
) -> Float[Tensor, " batch"]:
    """The score of one path: the sum of the scores of its labels and of the transitions between neighbours.

    Args:
        scores: of every label of every token; computed and returned in float32 at least.
        transitions: `[i, j]` is the score of label `j` after label `i`.
        path: the label of each token; ignored outside the mask.
        mask: True for the tokens of the chain; the others are skipped, as if they were not there.

    Example:
        >>> scores, transitions = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]]), torch.tensor([[0.0, 5.0], [0.0, 0.0]])
        >>> chain_score(scores, transitions, torch.tensor([[0, 1]]), torch.ones(1, 2, dtype=torch.bool)).tolist()
        [8.0]
    """
    dtype = torch.promote_types(scores.dtype, torch.float32)
    scores, transitions, path = scores.to(dtype), transitions.to(dtype), path.masked_fill(~mask, 0)
    emissions = scores.gather(-1, path[..., None])[..., 0].masked_fill(~mask, 0).sum(-1)
    order, lengths = _chain_first(mask)
    path = path.gather(1, order)
    steps = transitions[path[:, :-1], path[:, 1:]]
    inside = torch.arange(1, path.shape[1], device=path.device) < lengths[:, None]
    return emissions + steps.masked_fill(~inside, 0).sum(-1)


def chain_log_partition(
    scores: Float[Tensor, "batch length labels"],
    transitions: Float[Tensor, "labels labels"],
    mask: Bool[Tensor, "batch length"],
) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch length labels"]]:
    """The log-sum-exp of the scores of all paths, and the marginal probability of every label.

    Forward-backward algorithm, each vector of weights divided by its sum so that no length overflows. Time grows with
    the length times the square of the number of labels, memory with the length times the number of labels. The
    gradients of the log-partition come from the same recursions; the probabilities have no gradient.

    Args:
        scores: finite; computed and returned in float32 at least.
        transitions: `[i, j]` is the score of label `j` after label `i`.
        mask: True for the tokens of the chain; the others are skipped, as if they were not there, and their
            probabilities are 0. The log-partition of a sequence without tokens is 0.

    Raises:
        ValueError: shapes that do not fit.
        RuntimeError: in the backward pass, if the loss depends on the probabilities.

    Source: Rabiner 1989, section V.A (scaling); Lafferty, McCallum, Pereira 2001.

    Example:
        >>> scores, mask = torch.zeros(1, 3, 2), torch.ones(1, 3, dtype=torch.bool)
        >>> log_partition, probabilities = chain_log_partition(scores, torch.zeros(2, 2), mask)
        >>> round(log_partition.exp().item())  # paths
        8
    """
    labels = scores.shape[-1]
    if scores.dim() != 3 or transitions.shape != (labels, labels) or mask.shape != scores.shape[:2]:
        raise ValueError(
            f"scores {tuple(scores.shape)}, transitions {tuple(transitions.shape)}, mask {tuple(mask.shape)}: expected "
            "[batch, length, labels], [labels, labels] and [batch, length]"
        )
    dtype = torch.promote_types(scores.dtype, torch.float32)
    log_partition, probabilities, _ = _recursions(scores.to(dtype), transitions.to(dtype), mask)
    return log_partition, probabilities


def chain_probabilities(
    scores: Float[Tensor, "batch length labels"],
    transitions: Float[Tensor, "labels labels"],
    mask: Bool[Tensor, "batch length"],
    longest: int,
) -> Float[Tensor, "batch length labels"]:
    """The marginal probability of every label, as `chain_log_partition` gives it, by operators of fixed shapes.

    For graphs that leave Python, which have no loop over tokens: products of the weights from label to label over 1, 2,
    4, ... tokens, each divided by its greatest number. Time grows with the length times its logarithm times the third
    power of the number of labels, memory with the length times its square.

    Args:
        scores, transitions, mask: see `chain_log_partition`.
        longest: a bound on the length.

    Source: Hillis, Steele 1986 (prefix sums by doubling).

    Example:
        >>> scores, mask = torch.zeros(1, 3, 2), torch.ones(1, 3, dtype=torch.bool)
        >>> chain_probabilities(scores, torch.zeros(2, 2), mask, 3).unique().tolist()
        [0.5]
    """
    dtype = torch.promote_types(scores.dtype, torch.float32)
    scores, transitions = scores.to(dtype), transitions.to(dtype)
    least = torch.finfo(dtype).tiny
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    ways = (transitions - transitions.max()).exp()
    # From label to label, one token on. The first one comes from nowhere, and what is skipped changes nothing.
    same = torch.eye(scores.shape[-1], dtype=dtype, device=scores.device)
    begins = mask & (mask.cumsum(1) == 1)
    steps = torch.where(begins[..., None, None], weights[..., None, :], ways * weights[..., None, :])
    steps = torch.where(mask[..., None, None], steps, same)

    def joined(one: Tensor, other: Tensor) -> Tensor:
        product = one @ other
        return product / product.flatten(-2).amax(-1)[..., None, None].clamp_min(least)

    # Not by `len`, which a trace takes for a constant.
    before, after, reach = steps, torch.cat((steps, same.expand(steps.shape[0], 1, -1, -1)), 1)[:, 1:], 1
    with without_autocast(steps.device.type):
        while reach < longest:
            none = same.expand(steps.shape[0], reach, -1, -1)
            before = joined(torch.cat((none, before), 1)[:, :-reach], before)
            after = joined(after, torch.cat((after, none), 1)[:, reach:])
            reach *= 2
    chances = before[..., 0, :] * after.sum(-1)
    return (chances / chances.sum(-1, keepdim=True).clamp_min(least)).masked_fill(~mask[..., None], 0)


def chain_segment_log_probability(
    scores: Float[Tensor, "batch length labels"],
    transitions: Float[Tensor, "labels labels"],
    mask: Bool[Tensor, "batch length"],
    rows: Int[Tensor, " segments"],
    starts: Int[Tensor, " segments"],
    allowed: Bool[Tensor, "segments longest labels"],
    lengths: Int[Tensor, " segments"],
) -> Float[Tensor, " segments"]:
    """The logarithm of the probability that every label of a segment is one of those allowed (`docs/math.md`, 51).

    Exact, over all paths of the sequence: the weights from the left, restricted to the allowed labels token by token,
    against the messages from the right. Time grows with the length of the sequences and of the longest segment.

    Args:
        scores: finite; computed and returned in float32 at least.
        transitions: `[i, j]` is the score of label `j` after label `i`; minus infinity for a pair that no path has, as
            long as each label may come after some other.
        mask: True for the tokens of the chain, without a gap; the others are skipped.
        rows: the sequence that each segment is in.
        starts: the place of its first token.
        allowed: the labels that each of its tokens may have; ignored from `lengths` on.
        lengths: its number of tokens, at least one.

    Raises:
        ValueError: shapes that do not fit, or a segment that is not inside its sequence's chain.

    Example:
        >>> scores, transitions = torch.zeros(1, 3, 2), torch.zeros(2, 2)
        >>> allowed, one = torch.tensor([[[True, False], [False, True]]]), torch.ones(1, dtype=torch.int64)
        >>> mask = torch.ones(1, 3, dtype=torch.bool)
        >>> found = chain_segment_log_probability(scores, transitions, mask, 0 * one, one, allowed, 2 * one)
        >>> round(found.exp().item(), 3)
        0.25
    """
    if allowed.shape[::2] != (len(rows), scores.shape[-1]) or not len(rows) == len(starts) == len(lengths):
        raise ValueError(
            f"rows {tuple(rows.shape)}, starts {tuple(starts.shape)}, allowed {tuple(allowed.shape)} and lengths "
            f"{tuple(lengths.shape)}: expected one of each for every segment, and [segments, longest, labels]"
        )
    dtype = torch.promote_types(scores.dtype, torch.float32)
    if not len(rows):
        return scores.new_zeros(0, dtype=dtype)
    outside = ~mask[rows, starts] | (lengths < 1) | (mask.cumsum(1)[rows, starts] - 1 + lengths > mask.sum(1)[rows])
    if bool(outside.any()) or int(lengths.max()) > allowed.shape[1]:
        raise ValueError(
            f"{int(outside.sum())} of {len(rows)} segments are not inside their sequence, or longer than the "
            f"{allowed.shape[1]} tokens of `allowed`; give starts in the mask, and lengths that end in it"
        )
    chain = _messages(scores.to(dtype), transitions.to(dtype), mask)
    least = torch.finfo(dtype).tiny
    # From the order of the recursions to that of the caller.
    places, ranks = chain.rows.argsort()[rows], mask.cumsum(1)[rows, starts] - 1
    now = chain.forward[ranks, places].masked_fill(~allowed[:, 0], 0)
    total = now.sum(-1, keepdim=True)
    logarithms, now = total.log()[:, 0], now / total.clamp_min(least)
    for step in range(1, int(lengths.max())):
        inside = step < lengths
        time = (ranks + step).where(inside, ranks)
        weighed = (now @ chain.ways) * chain.weights[time, places] / chain.sums[time, places]
        weighed = weighed.masked_fill(~allowed[:, step], 0)
        total = weighed.sum(-1, keepdim=True)
        now = torch.where(inside[:, None], weighed / total.clamp_min(least), now)
        logarithms = logarithms + total.log()[:, 0].masked_fill(~inside, 0)
    to_come = chain.backward[ranks + lengths - 1, places]
    return (logarithms + (now * to_come).sum(-1).log()).clamp_max(0)


def _chain_first(
    mask: Bool[Tensor, "batch length"],
) -> tuple[Int[Tensor, "batch length"], Int[Tensor, " batch"]]:
    """An order of each row's tokens with those of the chain first, and the number of these."""
    return (~mask).byte().argsort(dim=1, stable=True), mask.sum(1)


@torch.library.custom_op(
    "reformer::linear_chain",
    mutates_args=(),
    schema="(Tensor scores, Tensor transitions, Tensor mask) -> (Tensor, Tensor, Tensor)",
)
def _recursions(
    scores: Float[Tensor, "batch length labels"],
    transitions: Float[Tensor, "labels labels"],
    mask: Bool[Tensor, "batch length"],
) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch length labels"], Float[Tensor, "batch labels labels"]]:
    """The log-partition, the probabilities of labels, and the expected count of each pair of neighbouring labels."""
    batch, _, labels = scores.shape
    probabilities = torch.zeros_like(scores)
    pairs = scores.new_zeros(batch, labels, labels)
    log_partition = scores.new_zeros(batch)
    if not mask.any():
        return log_partition, probabilities, pairs
    chain = _messages(scores, transitions, mask)
    chances = (chain.forward * chain.backward).masked_fill_(~chain.inside[..., None], 0)
    probabilities[chain.rows] = torch.zeros_like(probabilities).scatter_(1, chain.order, chances.transpose(0, 1))
    if len(chain.forward) > 1:
        later = chain.messages[1:].masked_fill_(~chain.inside[1:, :, None], 0)
        pairs[chain.rows] = torch.einsum("lbi,lbj->bij", chain.forward[:-1], later) * chain.ways
    logarithms = (chain.sums.log() + chain.highest)[..., 0].masked_fill_(~chain.inside, 0).sum(0)
    log_partition[chain.rows] = logarithms + (chain.inside.sum(0) - 1).clamp_min(0) * transitions.max()
    return log_partition, probabilities, pairs


class _Messages(NamedTuple):
    """Recursions over chains, `[time, chain, ...]`, the longest chain first and its tokens from time 0."""

    rows: Tensor
    """The row of `scores` that each chain is."""
    order: Tensor
    """`[chain, time, label]`, the token of the row at each time."""
    inside: Tensor
    """Whether the chain has a token at that time."""
    highest: Tensor
    """The greatest score of each token."""
    weights: Tensor
    """`exp(score - highest)`."""
    ways: Tensor
    """`exp(transition - the greatest)`."""
    forward: Tensor
    """Weights of the paths up to each label, of sum 1."""
    sums: Tensor
    """The sums they were divided by."""
    backward: Tensor
    """Weights of the paths from each label on: times `forward` it is the label's probability."""
    messages: Tensor
    """`weights * backward / sums`, but for the first token and for those behind a chain."""


def _messages(scores: Tensor, transitions: Tensor, mask: Tensor) -> _Messages:
    """Both recursions over the chains of a mask that is not empty."""
    labels = scores.shape[-1]
    order, lengths = _chain_first(mask)
    # Longest first, so that the rows that go on are the first ones at every step.
    lengths, rows = lengths.sort(descending=True)
    longest = int(lengths[0])
    order = order[rows][:, :longest, None].expand(-1, -1, labels)
    links = scores[rows].gather(1, order).transpose(0, 1)
    inside = torch.arange(longest, device=lengths.device)[:, None] < lengths
    highest, step = links.amax(-1, keepdim=True), transitions.max()
    weights, ways = (links - highest).exp(), (transitions - step).exp()
    recursions = _in_blocks if labels <= MOST_LABELS else _token_by_token
    with without_autocast(weights.device.type):
        return _Messages(rows, order, inside, highest, weights, ways, *recursions(weights, ways, inside))


def _token_by_token(weights: Tensor, ways: Tensor, inside: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`forward`, `sums`, `backward` and `messages`, each token after the one before it."""
    going_on = inside.sum(1).tolist()
    forward = torch.zeros_like(weights)
    sums = torch.ones_like(weights[..., :1])
    before = forward[0]
    for time, (count, weight, now, total) in enumerate(
        zip(going_on, weights.unbind(), forward.unbind(), sums.unbind(), strict=True)
    ):
        weight, now, total = weight[:count], now[:count], total[:count]
        if time:
            torch.mm(before[:count], ways, out=now)
            now.mul_(weight)
        else:
            now.copy_(weight)
        torch.sum(now, -1, keepdim=True, out=total)
        now.div_(total)
        before = now

    # Messages from each token to the one before it; the last token of a row receives ones.
    backward = torch.ones_like(weights)
    messages = weights / sums
    ways_back = ways.T.contiguous()
    for time in range(len(weights) - 2, -1, -1):
        count = going_on[time + 1]
        following = messages[time + 1, :count]
        following.mul_(backward[time + 1, :count])
        torch.mm(following, ways_back, out=backward[time, :count])
    return forward, sums, backward, messages


def _in_blocks(weights: Tensor, ways: Tensor, inside: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same, of all blocks of a chain at once: first the products of their weights from label to label, then vectors
    from block to block, then those of the tokens in each. Of `L` tokens it takes `3 * BLOCK + 2 * L / BLOCK` steps for
    `2 * L`.

    Products and what goes from block to block are in float64, each row of a product divided by its sum, whose logarithm
    is kept: what leads on from one label may be smaller by far than what does from another.
    """
    longest, chains, labels = weights.shape
    # One row alone would be multiplied by another routine, which rounds otherwise than that of several.
    blocks = max(2, -(-longest // BLOCK))
    missing = blocks * BLOCK - longest

    def cut(each: Tensor) -> Tensor:
        """`[place in the block, block, chain, ...]`."""
        padded = torch.cat((each, each.new_zeros(missing, *each.shape[1:])))
        return padded.unflatten(0, (blocks, BLOCK)).transpose(0, 1).contiguous()

    def whole(each: Tensor) -> Tensor:
        return each.transpose(0, 1).flatten(0, 1)[:longest]

    weight, is_there = cut(weights), cut(inside)[..., None]
    least, most = torch.finfo(torch.float64).tiny, torch.finfo(torch.float64).max
    wide_ways, wide = ways.double(), weight.double()
    products = torch.eye(labels, dtype=torch.float64, device=weights.device).expand(blocks, chains, -1, -1)
    # Behind its chain a token changes nothing, and nothing leads to the first one.
    leads = is_there.clone()
    leads[0, 0] = False
    logarithms = torch.zeros_like(wide[0])
    for place in range(BLOCK if longest > BLOCK else 0):
        product = products @ wide_ways * wide[place, :, :, None]
        total = product.sum(-1, keepdim=True).clamp_min(least)
        products = torch.where(leads[place, ..., None], product / total, products)
        logarithms = torch.where(leads[place], logarithms + total[..., 0].log(), logarithms)

    # The vector behind each block, of sum 1, which comes to the next one; to the first one comes none.
    begun = wide[0, 0] / wide[0, 0].sum(-1, keepdim=True)
    entering, factors = [torch.zeros_like(begun)], []
    for block in range(blocks):
        # How much each label's row counts: that which most comes through counts 1.
        through = begun.log() + logarithms[block]
        highest = through.amax(-1, keepdim=True)
        after = ((through - highest).exp()[:, None] @ products[block])[:, 0]
        scale = (logarithms[block] - highest).exp().clamp_max(most)
        total = after.sum(-1, keepdim=True)
        factors.append((scale / total).where(is_there[0, block], 1))
        begun = (after / total).where(is_there[0, block], begun)
        entering.append(begun)

    forward, sums = torch.empty_like(weight), torch.ones_like(weight[..., :1])
    before = torch.stack(entering[:-1]).to(weights.dtype)
    for place in range(BLOCK):
        now = before @ ways * weight[place]
        if not place:
            now[0] = weight[0, 0]
        total = now.sum(-1, keepdim=True)
        before = torch.where(is_there[place], now / total, before)
        forward[place], sums[place] = before, total.where(is_there[place], 1)

    # What the last token of each block receives.
    received = [torch.ones_like(begun)]
    for block in range(blocks - 1, 0, -1):
        received.append((products[block] @ received[-1][..., None])[..., 0] * factors[block])
    backward = torch.empty_like(weight)
    messages = weight / sums
    now, ways_back = torch.stack(received[::-1]).to(weights.dtype), ways.T.contiguous()
    for place in reversed(range(BLOCK)):
        backward[place] = now
        messages[place].mul_(now)
        now = torch.where(is_there[place], messages[place] @ ways_back, now)
    return whole(forward), whole(sums), whole(backward), whole(messages)


@_recursions.register_fake
def _(scores: Tensor, transitions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    batch, _, labels = scores.shape
    return scores.new_empty(batch), torch.empty_like(scores), scores.new_empty(batch, labels, labels)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*output[1:])
    ctx.set_materialize_grads(False)


def _differentiate(
    ctx: Any, by_log_partition: Tensor | None, by_probabilities: Tensor | None, by_pairs: Tensor | None
) -> tuple[Tensor | None, Tensor | None, None]:
    if by_probabilities is not None or by_pairs is not None:
        raise RuntimeError(
            "the probabilities of a random field's labels have no gradient: compute the loss from the log-partition, "
            "or give the model labels"
        )
    if by_log_partition is None:
        return None, None, None
    probabilities, pairs = ctx.saved_tensors
    return (
        by_log_partition[:, None, None] * probabilities,
        (by_log_partition[:, None, None] * pairs).sum(0),
        None,
    )


_recursions.register_autograd(_differentiate, setup_context=_keep)
