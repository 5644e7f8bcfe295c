"""The duplication task (Kitaev et al. 2020, section 5): trained with one attention, evaluated with every other."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.case import Contender, ContractError
from benchmarks.learning import Batch, Plan, accuracy, causal_lm, learn, learner

SYMBOLS = 127
BUCKETS = 16
EVALUATED_WITH = ("full", "LSH-8", "LSH-4", "LSH-2", "LSH-1")
DRAWS = 4
"""Each accuracy is the mean over so many draws of the hash rotations, one or two rounds being a matter of luck."""

TOKENS = 1 << 13
"""Of a step; eight times as many are evaluated."""

CHECK_LENGTH = 32


def trained_with(kind: str) -> Contender:
    """One layer of 256, feed-forward 256, 4 heads, as in the paper, trained with "full" or "LSH-ROUNDS"."""

    return learner(
        kind,
        "ours",
        lambda length: train_and_evaluate(kind, length, plan(length)),
        partial(_check, kind),
        dtype="float32",
    )


def plan(length: int) -> Plan:
    """The longer the sequence, the later the pairs are found; below 256 a short look."""
    return Plan(steps=500 + length // 2 if length >= 256 else 100)


def duplicated(length: int, batch: int) -> Batch:
    """Sequences 0w0w with w of random symbols; only the second w is asked for."""
    word = torch.randint(1, SYMBOLS + 1, (batch, length // 2 - 1))
    mark = torch.zeros(batch, 1, dtype=torch.long)
    ids = torch.cat((mark, word, mark, word), 1)
    labels = ids.clone()
    labels[:, : length // 2 + 1] = -100
    return ids, labels


def model(kind: str, length: int) -> nn.Module:
    """The model with an attention. All share queries and keys, so that the same weights serve every kind: full
    attention is a window as long as the sequence."""
    attention: dict[str, Any] = {
        "attention_layers": ["lsh"],
        "lsh_window": max(2, length // 8),
        "num_buckets": BUCKETS,
        "num_rounds": int(kind.removeprefix("LSH-")) if kind != "full" else 1,
    }
    if kind == "full":
        attention |= {"attention_layers": ["local+lsh"], "local_window": length, "lsh_window": 1, "num_buckets": 2}
    return causal_lm(
        vocab_size=SYMBOLS + 1,
        hidden_size=256,
        num_attention_heads=4,
        attention_head_size=64,
        feed_forward_size=256,
        hidden_act="relu",
        position_embedding_type="learned",
        max_position_embeddings=length,
        reversible=False,
        **attention,
    )


def with_attention(weights: dict[str, Tensor], kind: str, length: int) -> nn.Module:
    """A model with another attention and these weights. Only the hash rotations, which are random, are its own."""
    made = model(kind, length)
    found = made.load_state_dict({name: weight for name, weight in weights.items() if not _drawn(name)}, strict=False)
    wrong = [*found.unexpected_keys, *(name for name in found.missing_keys if not _drawn(name))]
    if wrong:
        raise ContractError(f"weights that {kind} has no place for, or has not been given: {', '.join(wrong)}")
    return made


def _drawn(name: str) -> bool:
    return "rotation_" in name


def train_and_evaluate(
    kind: str, length: int, plan: Plan, evaluated_with: Sequence[str] = EVALUATED_WITH, tokens: int = TOKENS
) -> dict[str, float | int]:
    """The accuracy on the second half under each attention, and what the training took."""
    torch.manual_seed(plan.seed)
    trained = model(kind, length)
    batch = max(1, tokens // length)
    facts = learn(f"duplication, {kind}, {length} tokens", trained, lambda _: duplicated(length, batch), plan)
    asked = duplicated(length, max(1, 8 * tokens // length))
    for other in evaluated_with:
        draws = 1 if other == "full" else DRAWS
        models = (with_attention(trained.state_dict(), other, length) for _ in range(draws))
        facts[other] = sum(accuracy(each, asked) for each in models) / draws
    return facts


def _check(kind: str) -> str:
    """The weights serve every attention, and a short training is better than guessing."""
    facts = train_and_evaluate(kind, CHECK_LENGTH, Plan(steps=80, warm_up=10), [kind, "LSH-1"], 1024)
    if not facts[kind] > 0.1:
        raise ContractError(f"accuracy {facts[kind]:.2f} after 80 steps at length {CHECK_LENGTH}, expected over 0.1")
    return f"accuracy {facts[kind]:.2f} after 80 steps at length {CHECK_LENGTH}; its weights serve every attention"
