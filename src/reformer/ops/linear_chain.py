"""Path score and log-partition of a linear-chain conditional random field (`docs/math.md`, 45)."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


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
    order, lengths = _chain_first(mask)
    # Longest first, so that the rows that go on are the first ones at every step.
    lengths, rows = lengths.sort(descending=True)
    order = order[rows]
    longest = int(lengths[0]) if batch else 0
    probabilities = torch.zeros_like(scores)
    pairs = scores.new_zeros(batch, labels, labels)
    log_partition = scores.new_zeros(batch)
    if not longest:
        return log_partition, probabilities, pairs

    order = order[:, :longest, None].expand(-1, -1, labels)
    links = scores[rows].gather(1, order).transpose(0, 1)
    going_on = (torch.arange(longest, device=lengths.device)[:, None] < lengths).sum(1).tolist()
    inside = torch.arange(longest, device=lengths.device)[:, None] < lengths
    highest, step = links.amax(-1, keepdim=True), transitions.max()
    weights, ways = (links - highest).exp(), (transitions - step).exp()

    forward = torch.zeros_like(weights)
    sums = torch.ones_like(highest)
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
    for time in range(longest - 2, -1, -1):
        count = going_on[time + 1]
        following = messages[time + 1, :count]
        following.mul_(backward[time + 1, :count])
        torch.mm(following, ways_back, out=backward[time, :count])

    chances = (forward * backward).masked_fill_(~inside[..., None], 0)
    probabilities[rows] = torch.zeros_like(probabilities).scatter_(1, order, chances.transpose(0, 1))
    if longest > 1:
        later = messages[1:].masked_fill_(~inside[1:, :, None], 0)
        pairs[rows] = torch.einsum("lbi,lbj->bij", forward[:-1], later) * ways
    logarithms = (sums.log() + highest)[..., 0].masked_fill_(~inside, 0).sum(0)
    log_partition[rows] = logarithms + (lengths - 1).clamp_min(0) * step
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
