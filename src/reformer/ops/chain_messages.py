"""Recursions of a linear-chain conditional random field, forward and backward (`docs/math.md`, 45), token by token or
of blocks of tokens at once."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from reformer.ops.autocast import without_autocast

BLOCK = 32
"""Tokens of a block of a chain. It is of one size, and chosen by the number of labels alone, so that no chain's numbers
depend on the chains beside it."""
MOST_LABELS = 20
"""Up to which blocks are taken: the third power of their number is computed for each token."""


def chain_first(
    mask: Bool[Tensor, "batch length"],
) -> tuple[Int[Tensor, "batch length"], Int[Tensor, " batch"]]:
    """An order of each row's tokens with those of the chain first, and the number of these."""
    return (~mask).byte().argsort(dim=1, stable=True), mask.sum(1)


class Messages(NamedTuple):
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


def messages(scores: Tensor, transitions: Tensor, mask: Tensor) -> Messages:
    """Both recursions over the chains of a mask that is not empty."""
    labels = scores.shape[-1]
    order, lengths = chain_first(mask)
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
        return Messages(rows, order, inside, highest, weights, ways, *recursions(weights, ways, inside))


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
