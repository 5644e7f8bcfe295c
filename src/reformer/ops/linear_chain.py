"""A linear-chain random field over the labels of a sequence: all paths at once (`docs/math.md`, 45)."""

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
    """The score of one path: of its labels, and of each label after the one before it.

    Args:
        path: the label of each token that is in the mask; what stands elsewhere is not looked at.
        mask: which tokens are links of the chain; others are passed over, as if they were not there.

    Example:
        >>> scores, transitions = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]]), torch.tensor([[0.0, 5.0], [0.0, 0.0]])
        >>> chain_score(scores, transitions, torch.tensor([[0, 1]]), torch.ones(1, 2, dtype=torch.bool)).tolist()
        [8.0]
    """
    dtype = torch.promote_types(scores.dtype, torch.float32)
    scores, transitions, path = scores.to(dtype), transitions.to(dtype), path.masked_fill(~mask, 0)
    own = scores.gather(-1, path[..., None])[..., 0].masked_fill(~mask, 0).sum(-1)
    order, lengths = _real_first(mask)
    path = path.gather(1, order)
    steps = transitions[path[:, :-1], path[:, 1:]]
    inside = torch.arange(1, path.shape[1], device=path.device) < lengths[:, None]
    return own + steps.masked_fill(~inside, 0).sum(-1)


def chain_log_partition(
    scores: Float[Tensor, "batch length labels"],
    transitions: Float[Tensor, "labels labels"],
    mask: Bool[Tensor, "batch length"],
) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch length labels"]]:
    """The logarithm of the summed exponentials of all paths' scores, and the probability of every label.

    Forward and backward recursion, each vector of weights divided by its sum (Rabiner 1989), so that no length
    overflows. Time grows with the length and the square of the number of labels, memory with their product. The
    gradients of the first result come from the same recursions; the second has none.

    Args:
        scores: finite; computed and given back in float32 at least.
        transitions: `[i, j]` is the score of label `j` after label `i`.
        mask: which tokens are links of the chain; others are passed over, as if they were not there, and their
            probabilities are 0. A sequence without any has the logarithm 0.

    Raises:
        ValueError: shapes that do not fit.
        RuntimeError: in the backward pass, when something was derived from the probabilities.

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


def _real_first(mask: Tensor) -> tuple[Tensor, Tensor]:
    """An order of each row's tokens that puts its links before the others, and how many they are."""
    return (~mask).byte().argsort(dim=1, stable=True), mask.sum(1)


@torch.library.custom_op("reformer::linear_chain", mutates_args=())
def _recursions(scores: Tensor, transitions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The logarithms, the probabilities of labels, and the expected number of each pair of neighbours, by row."""
    batch, _, labels = scores.shape
    order, lengths = _real_first(mask)
    # Longest first: the rows that go on are then the first ones at every step.
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

    # What a link gives to the one before it; after the last one of a row there is nothing, which weighs 1.
    backward = torch.ones_like(weights)
    given = weights / sums
    ways_back = ways.T.contiguous()
    for time in range(longest - 2, -1, -1):
        count = going_on[time + 1]
        following = given[time + 1, :count]
        following.mul_(backward[time + 1, :count])
        torch.mm(following, ways_back, out=backward[time, :count])

    chances = (forward * backward).masked_fill_(~inside[..., None], 0)
    probabilities[rows] = torch.zeros_like(probabilities).scatter_(1, order, chances.transpose(0, 1))
    if longest > 1:
        later = given[1:].masked_fill_(~inside[1:, :, None], 0)
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
            "the probabilities of a random field's labels have no gradient; learn from its loss: give the model labels"
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
