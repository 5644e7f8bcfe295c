"""LSH attention alone: which tokens a token sees, and that the fast backend gives what the definition gives."""

import torch

from reformer import hash_slots, position_slots, random_rotations, window_attention
from reformer.ops.window_attention.reference import times_seen


def main() -> None:
    torch.manual_seed(0)
    length = 200
    # Twenty kinds of tokens: those of one kind have nearly the same vector, wherever they stand.
    kinds = torch.randint(20, (length,))
    vectors = (torch.randn(20, 16)[kinds] + 0.05 * torch.randn(length, 16)).view(1, 1, length, 16)
    mask = torch.ones(1, length, dtype=torch.bool)

    rotations = random_rotations(heads=1, rounds=2, head_dim=16, buckets=8)
    slots = torch.cat((position_slots(mask), hash_slots(vectors, rotations, mask)), dim=2)
    options = {"window": [4, 16, 16], "causal": True}

    seen, _ = times_seen(slots, slots, (4, 16, 16), causal=True)
    same_kind = (kinds == kinds[150]).float().view(1, 1, length, 1).expand_as(vectors).contiguous()
    share = window_attention(vectors, vectors, same_kind, slots, **options)[0, 0, 150, 0]
    print(f"token 150 sees {int((seen[0, 0, 150] > 0).sum())} of 151 tokens")
    print(f"and gives those of its own kind {share:.0%} of its attention")

    fast = window_attention(vectors, vectors, vectors, slots, **options)
    defined = window_attention(vectors, vectors, vectors, slots, **options, backend="reference")
    print(f"fast backend and definition differ by {(fast - defined).abs().max():.0e}")


if __name__ == "__main__":
    main()
