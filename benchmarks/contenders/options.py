"""The cost and the gain of every option, beside all of them off and beside the layers alone."""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.case import Action, Contender, ContractError
from benchmarks.contenders.byte_lm import bits_of_bytes, first_bytes
from benchmarks.contenders.language_models import VOCABULARY, training_step
from benchmarks.learning import Plan, causal_lm, in_random_order, learn, sequences_of

HIDDEN, HEADS, HEAD_DIM, FEED_FORWARD = 128, 4, 32, 512
KINDS = ("local", "lsh") * 2
LOCAL_WINDOW, LSH_WINDOW, BUCKETS, ROUNDS = 64, 32, 32, 1

OFF, BY_HAND = "all off", "all off, by hand"
OPTIONS: dict[str, dict[str, Any]] = {
    OFF: {},
    "polynomial scores": {"score_transform": "polynomial"},
    "sinh scores": {"score_transform": "sinh"},
    "time bias": {"time_bias_length": 1024},
    "gated heads": {"gated_heads": True},
    "gated heads, silu": {"gated_heads": True, "attention_act": "silu"},
    "filtered projections": {"projection_kernel": 3},
    "convolution": {"convolution_kernel": 3},
    "bottlenecks": {"bottleneck_size": 64},
    "embeddings of 64": {"embedding_size": 64},
    "hourglass": {"shortened_layers": [1, 3]},
    "Fourier layers": {"attention_layers": ["local", "fourier"] * 2},
    "circulant blocks": {"feed_forward_linear": "circulant"},
    "shared layers": {"num_distinct_layers": 2},
    "separate queries": {"shared_query_key": False},
    "one head of keys": {"shared_query_key": False, "num_key_value_heads": 1},
    "heads of two kinds": {"attention_layers": [["local", "local", "lsh", "lsh"]] * 4},
}
"""The fields of each contender; layers of kinds of their own take the place of the others."""

STEPS, QUICK_STEPS = 200, 10
STEP_TOKENS = 1 << 11
EVALUATED_TOKENS = 1 << 16
SEEDS = (0, 1)
CHECK_LENGTH = 96


def option(name: str) -> Contender:
    """A training step, and bits per byte after a short training, with one option on."""
    made = training_step(name, "ours" if name == OFF else name, partial(model, **OPTIONS[name]))

    def build(length: int) -> dict[str, Action]:
        steps = STEPS if length >= 1024 else QUICK_STEPS
        return made.build(length) | {"train": Action(lambda _: train(name, length, steps))}

    return replace(made, build=build)


def by_hand() -> Contender:
    """A training step of the layers called by hand."""
    return replace(training_step(BY_HAND, "hand", LayersAlone), check=_check)


def model(length: int, **options: Any) -> nn.Module:
    """Two layers of local and two of hashed attention, 128 wide, every layer's input kept."""
    fields: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "num_attention_heads": HEADS,
        "attention_head_size": HEAD_DIM,
        "feed_forward_size": FEED_FORWARD,
        "attention_layers": KINDS,
        "local_window": LOCAL_WINDOW,
        "lsh_window": LSH_WINDOW,
        "num_buckets": BUCKETS,
        "num_rounds": ROUNDS,
        "max_position_embeddings": length,
        "reversible": False,
    }
    return causal_lm(**(fields | options))


class LayersAlone(nn.Module):
    """The layers of the model called one after the other, without the model around them: no checks, no padding, no
    cache, no output but the loss. Its parameters are the model's."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.model: Any = model(length)

    def forward(self, input_ids: Tensor, labels: Tensor) -> Any:
        from types import SimpleNamespace

        from reformer.nn import Replay, Tokens
        from reformer.nn.positions import rotary_waves
        from reformer.ops import linear_cross_entropy

        stack, head = self.model.reformer, self.model.lm_head
        tokens = Tokens.of(torch.ones_like(input_ids, dtype=torch.bool), padded=False)
        waves = rotary_waves(tokens.positions, HEAD_DIM)
        tokens = replace(tokens, rotary=dict.fromkeys(stack.config.attention_layers, waves))
        first = second = stack.embeddings(input_ids)
        for sublayer in stack.encoder.sublayers:
            first, second = second, first + sublayer(second, tokens, Replay())
        hidden = stack.norm(torch.cat((first, second), -1))[:, :-1].flatten(0, 1)
        return SimpleNamespace(loss=linear_cross_entropy(hidden, head.weight, labels[:, 1:].flatten(), head.bias))


def train(name: str, length: int, steps: int) -> dict[str, float | int]:
    """Bits per byte of the first held-out bytes, for each seed, each byte read once."""
    text, held_out = first_bytes("train", steps * STEP_TOKENS), first_bytes("validation", EVALUATED_TOKENS)
    facts: dict[str, float | int] = {"steps": steps, "tokens": steps * STEP_TOKENS}
    for seed in SEEDS:
        torch.manual_seed(seed)
        trained = model(length, **OPTIONS[name])
        plan = Plan(steps, learning_rate=3e-3, warm_up=30, weight_decay=0.01, seed=seed)
        draw = in_random_order(sequences_of(text, length), STEP_TOKENS // length, seed)
        learn(f"{name}, seed {seed}", trained, draw, plan)
        facts[f"bits of seed {seed}"] = float(bits_of_bytes(trained, sequences_of(held_out, length)).mean())
    facts["bits"] = sum(facts[f"bits of seed {seed}"] for seed in SEEDS) / len(SEEDS)
    return facts


def _check() -> str:
    """It is the same function as the model with all options off, gradients included."""
    alone = LayersAlone(CHECK_LENGTH).train()
    ids = torch.randint(VOCABULARY, (2, CHECK_LENGTH))
    losses, gradients = [], []
    for each in (alone.model, alone):
        torch.manual_seed(1)
        losses.append(each(input_ids=ids, labels=ids).loss)
        gradients.append(torch.autograd.grad(losses[-1], list(alone.parameters())))
    apart = max(float((one - other).abs().max()) for one, other in zip(*gradients, strict=True))
    if abs(losses[0] - losses[1]) > 1e-5 or apart > 1e-4:
        raise ContractError(f"losses {losses[0]:.6f} and {losses[1]:.6f}, gradients apart by {apart:.1e}")
    return f"the model's loss and {len(gradients[0])} gradients (apart by {apart:.0e})"
