"""How much of full attention's weight a pretrained encoder's windows, special tokens and hashes see."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.case import Action, Contender, ContractError, Facts

START = "index:multilingual-e5-small"
TEXTS = 4
BUCKETS, HASH_WINDOW = 32, 16
"""Buckets of a round, and the keys to each side that a query sees in its bucket."""
NEAR = 32
"""Window beside which the rounds are measured."""

Vectors = tuple[Tensor, Tensor]
"""Queries and keys of one layer, `[1, heads, length, head_dim]`."""


@dataclass(frozen=True)
class Sight:
    """What a query sees: its neighbours, perhaps both special tokens, and perhaps the keys that hashes find.

    Args:
        window: neighbours to each side, the token itself included.
        ends: whether all see both special tokens.
        rounds: of hashes.
        hashed: the vectors to hash; None with `rounds`: buckets that are drawn.
    """

    window: int
    ends: bool = False
    rounds: int = 0
    hashed: Callable[[Tensor, Tensor], Vectors] | None = None


def raw(query: Tensor, key: Tensor) -> Vectors:
    """Queries and keys as they are, by their angles."""
    return query, key


def centred(query: Tensor, key: Tensor) -> Vectors:
    """Keys less their mean, which a softmax does not see."""
    return query, key - key.mean(2, keepdim=True)


def balanced(query: Tensor, key: Tensor) -> Vectors:
    """Centred keys, and both mapped so that all products stay and their second moments are equal (`docs/math.md`, 48).

    The map X is the geometric mean that solves X S_k X = S_q; queries become X^-1/2 q, keys X^1/2 k.
    """
    query, key = (each.double() for each in centred(query, key))
    of_keys, of_queries = (each.mT @ each / each.shape[2] for each in (key, query))
    # A direction without any key or query has no scale of its own.
    tiny = 1e-6 * torch.eye(key.shape[3], dtype=key.dtype)
    of_keys, of_queries = of_keys + tiny, of_queries + tiny
    root, inverse = _power(of_keys, 0.5), _power(of_keys, -0.5)
    solved = inverse @ _power(root @ of_queries @ root, 0.5) @ inverse
    return (query @ _power(solved, -0.5)).float(), (key @ _power(solved, 0.5)).float()


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag_embed(values.clamp_min(1e-12) ** exponent) @ vectors.mT


SIGHTS: dict[str, Sight] = {
    **{f"windows of {window}": Sight(window) for window in (16, 32, 64, 128)},
    **{f"windows of {window}, both ends": Sight(window, ends=True) for window in (16, 32, 64, 128)},
    **{
        f"{name}, {rounds} rounds": Sight(NEAR, ends=True, rounds=rounds, hashed=hashed)
        for name, hashed in (
            ("drawn buckets", None),
            ("angles of queries and keys", raw),
            ("keys centred", centred),
            ("balanced, keys centred", balanced),
        )
        for rounds in (2, 4, 8)
    },
}


def seen_weight(name: str) -> Contender:
    """The share of each layer's attention weight that a query with this sight sees."""
    sight = SIGHTS[name]
    options = {"window": sight.window, "ends": sight.ends, "rounds": sight.rounds, "hashed": name.partition(",")[0]}
    return Contender(name, "seen", partial(_build, sight), partial(_check, sight), options)


def _build(sight: Sight, length: int) -> dict[str, Action]:
    return {"measure": Action(lambda found: _measure(sight, found), lambda: _layers(length))}


def _measure(sight: Sight, texts: list[list[Vectors]]) -> Facts:
    generator = torch.Generator().manual_seed(0)
    shares, keys = [], []
    for layers in texts:
        found = [_of_layer(sight, query, key, generator) for query, key in layers]
        shares.append([share for share, _ in found])
        keys.append([number for _, number in found])
    by_layer = torch.tensor(shares).mean(0)
    return {
        "share": float(by_layer.mean()),
        "by_layer": [round(share, 4) for share in by_layer.tolist()],
        "keys": float(torch.tensor(keys).mean()),
    }


def _of_layer(sight: Sight, query: Tensor, key: Tensor, generator: torch.Generator) -> tuple[float, float]:
    """The share of the weight that is seen, and the keys that a query sees; means over heads and queries."""
    weights = torch.softmax(query @ key.mT / query.shape[-1] ** 0.5, -1)
    visible = seen(sight, query, key, generator)
    return float((weights * visible).sum(-1).mean()), float(visible.double().sum(-1).mean())


def seen(sight: Sight, query: Tensor, key: Tensor, generator: torch.Generator) -> Tensor:
    """Whether query `i` sees key `j`, as the attention's own definition has it: `[1, heads, length, length]`."""
    from reformer.nn.tokens import Tokens
    from reformer.ops import bucket_query_slots, bucket_slots, hash_buckets, random_rotations
    from reformer.ops.window_attention.reference import times_seen

    _, heads, length, head_dim = query.shape
    tokens = Tokens.of(torch.ones(1, length, dtype=torch.bool), padded=False)
    windows = [sight.window]
    if sight.ends:
        tokens, windows = tokens.with_global([0, -1], causal=False), [*windows, 2]
    slots = [each.expand(-1, heads, -1, -1) for each in tokens.by_position(True, sight.ends)]
    if sight.rounds:
        if sight.hashed is None:
            shape = (1, heads, sight.rounds, length)
            of_queries, of_keys = (torch.randint(BUCKETS, shape, generator=generator) for _ in range(2))
        else:
            rotations = random_rotations(heads, sight.rounds, head_dim, BUCKETS, generator=generator)
            of_queries, of_keys = (hash_buckets(each.contiguous(), rotations) for each in sight.hashed(query, key))
        rounds = (bucket_query_slots(of_queries, of_keys), bucket_slots(of_keys))
        slots = [torch.cat(pair, 2) for pair in zip(slots, rounds, strict=True)]
        windows += [HASH_WINDOW] * sight.rounds
    count, _ = times_seen(*slots, tuple(windows), causal=False)
    return count > 0


@cache
def _layers(length: int) -> list[list[Vectors]]:
    """Queries and keys of every layer of the encoder, for the first pages of the newspaper's validation part."""
    from reformer.data import join_documents, load, load_tokenizer
    from reformer.finetuning.pretrained import load_pretrained
    from reformer.tasks.model_setup import local_place

    place = local_place(START)
    model, tokenizer = load_pretrained(place).base_model.eval(), load_tokenizer(place)
    pages = join_documents(load("people-daily", split="validation"), 4 * length)
    texts = []
    for page, _ in zip(pages, range(TEXTS), strict=False):
        ids = tokenizer(page.text, truncation=True, max_length=length, return_tensors="pt")["input_ids"]
        texts.append(list(_queries_and_keys(model, ids)))
    return texts


def _queries_and_keys(model: Any, ids: Tensor) -> Iterator[Vectors]:
    from reformer.nn.attention import Attention

    found: dict[tuple[int, str], Tensor] = {}
    attentions = [each for each in model.modules() if isinstance(each, Attention)]

    def keep(number: int, name: str) -> Any:
        def hook(module: Any, inputs: Any, output: Tensor) -> None:
            found[number, name] = output

        return getattr(attentions[number], name).register_forward_hook(hook)

    handles = [keep(number, name) for number in range(len(attentions)) for name in ("query", "key")]
    with torch.inference_mode():
        model(input_ids=ids)
    for handle in handles:
        handle.remove()
    for number, layer in enumerate(attentions):
        query, key = (
            found[number, name].unflatten(-1, (-1, layer.head_dim)).transpose(1, 2) for name in ("query", "key")
        )
        yield query.clone(), key.clone()


def _check(sight: Sight) -> str:
    """A query sees its neighbours and the ends; mapped vectors have the products of those they were made of."""
    generator = torch.Generator().manual_seed(1)
    query, key = (torch.randn(1, 2, 100, 8, generator=generator) for _ in range(2))
    visible = seen(sight, query, key, generator)
    place = torch.arange(100)
    near = (place[:, None] - place).abs() < sight.window
    if not visible[..., near].all() or (sight.ends and not visible[..., [0, -1]].all()):
        raise ContractError("a query does not see a neighbour or an end")
    if sight.hashed is None:
        return "neighbours and ends are seen"
    mapped, of_keys = sight.hashed(query, key)
    # A softmax does not see what all keys of a query have in common.
    moved, expected = ((a @ b.mT).double() for a, b in ((mapped, of_keys), (query, key)))
    error = float(((moved - moved.mean(-1, keepdim=True)) - (expected - expected.mean(-1, keepdim=True))).abs().max())
    if not error < 1e-3:
        raise ContractError(f"scores change by {error:.1e}")
    return f"scores change by {error:.1e} at most"
