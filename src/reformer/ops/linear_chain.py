"""Path score, log-partition and segment probability of a linear-chain conditional random field (`docs/math.md`, 45)."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from reformer.ops.autocast import without_autocast
from reformer.ops.chain_messages import chain_first, messages


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
    order, lengths = chain_first(mask)
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

    Raises:
        ValueError: a longer sequence; a graph cannot tell.

    Source: Hillis, Steele 1986 (prefix sums by doubling).

    Example:
        >>> scores, mask = torch.zeros(1, 3, 2), torch.ones(1, 3, dtype=torch.bool)
        >>> chain_probabilities(scores, torch.zeros(2, 2), mask, 3).unique().tolist()
        [0.5]
    """
    if not torch.compiler.is_compiling() and scores.shape[1] > longest:
        raise ValueError(f"{scores.shape[1]} tokens, and longest={longest}; give a bound on the length")
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
    chain = messages(scores.to(dtype), transitions.to(dtype), mask)
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
    chain = messages(scores, transitions, mask)
    chances = (chain.forward * chain.backward).masked_fill_(~chain.inside[..., None], 0)
    probabilities[chain.rows] = torch.zeros_like(probabilities).scatter_(1, chain.order, chances.transpose(0, 1))
    if len(chain.forward) > 1:
        later = chain.messages[1:].masked_fill_(~chain.inside[1:, :, None], 0)
        pairs[chain.rows] = torch.einsum("lbi,lbj->bij", chain.forward[:-1], later) * chain.ways
    logarithms = (chain.sums.log() + chain.highest)[..., 0].masked_fill_(~chain.inside, 0).sum(0)
    log_partition[chain.rows] = logarithms + (chain.inside.sum(0) - 1).clamp_min(0) * transitions.max()
    return log_partition, probabilities, pairs


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
