"""Every option on beside all of them off, and beside the same layers written by hand: what it costs, what it gives."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.case import Action, Contender, ContractError
from benchmarks.contenders.byte_lm import first_bytes
from benchmarks.contenders.language_models import VOCABULARY, training_step
from benchmarks.learning import Batch, Plan, learn

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
"""What each contender has on; layers of kinds of their own take the place of the others."""

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
    """A training step of the layers alone, without a configuration, a mask, a cache or anything that could be on."""
    return replace(training_step(BY_HAND, "hand", lambda length: ByHand()), check=_check)


def model(length: int, **options: Any) -> nn.Module:
    """Two layers of local and two of hashed attention, 128 wide, every layer's input kept."""
    from reformer.models import ReformerConfig, ReformerForCausalLM

    fields: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "num_attention_heads": HEADS,
        "attention_head_size": HEAD_DIM,
        "feed_forward_size": FEED_FORWARD,
        "is_decoder": True,
        "attention_layers": KINDS,
        "local_window": LOCAL_WINDOW,
        "lsh_window": LSH_WINDOW,
        "num_buckets": BUCKETS,
        "num_rounds": ROUNDS,
        "max_position_embeddings": length,
        "reversible": False,
    }
    return ReformerForCausalLM(ReformerConfig(**(fields | options)))


class ByHand(nn.Module):
    """The model with all options off, from operations alone. Its parameters are in the same order."""

    def __init__(self) -> None:
        super().__init__()
        width = HEADS * HEAD_DIM
        self.embeddings = nn.Embedding(VOCABULARY, HIDDEN)
        self.layers = nn.ModuleList()
        for kind in KINDS:
            projections = {"value": nn.Linear(HIDDEN, width, bias=False)}
            first = ("query_key",) if kind == "lsh" else ("query", "key")
            projections = {name: nn.Linear(HIDDEN, width, bias=False) for name in first} | projections
            projections["output"] = nn.Linear(width, HIDDEN, bias=False)
            feed_forward = {"inner": nn.Linear(HIDDEN, FEED_FORWARD), "outer": nn.Linear(FEED_FORWARD, HIDDEN)}
            for parts in (projections, feed_forward):
                self.layers.append(nn.ModuleDict({"norm": nn.LayerNorm(HIDDEN, eps=1e-6), **parts}))
        self.norm = nn.LayerNorm(2 * HIDDEN, eps=1e-6)
        self.lm_head = nn.Linear(2 * HIDDEN, VOCABULARY)

    def forward(self, input_ids: Tensor, labels: Tensor) -> Any:
        from types import SimpleNamespace

        from reformer.nn.positions import rotary_waves
        from reformer.ops import linear_cross_entropy, position_slots

        waves = rotary_waves(torch.arange(input_ids.shape[1]).expand(input_ids.shape), HEAD_DIM)
        slots = position_slots(torch.ones_like(input_ids, dtype=torch.bool))
        hidden = self.embeddings(input_ids)
        first, second = hidden, hidden
        for layer in self.layers:
            normed = layer["norm"](second)
            if "inner" in layer:
                made = layer["outer"](nn.functional.gelu(layer["inner"](normed)))
            else:
                made = _attend(layer, normed, waves, slots)
            first, second = second, first + made
        hidden = self.norm(torch.cat((first, second), -1))[:, :-1].flatten(0, 1)
        loss = linear_cross_entropy(hidden, self.lm_head.weight, labels[:, 1:].flatten(), self.lm_head.bias)
        return SimpleNamespace(loss=loss)


def _attend(layer: Any, hidden: Tensor, waves: tuple[Tensor, Tensor], slots: Tensor) -> Tensor:
    from reformer.nn.positions import rotate
    from reformer.ops import hash_slots, random_rotations, shared_window_attention, window_attention

    def split(name: str) -> Tensor:
        return layer[name](hidden).unflatten(-1, (HEADS, HEAD_DIM)).transpose(1, 2)

    if "query_key" in layer:
        query, value = split("query_key"), split("value")
        rotations = random_rotations(HEADS, ROUNDS, HEAD_DIM, BUCKETS)
        seen = shared_window_attention(
            rotate(query, waves), value, hash_slots(query, rotations), window=LSH_WINDOW, causal=True, scale=1.0
        )
    else:
        query, key, value = rotate(split("query"), waves), rotate(split("key"), waves), split("value")
        seen = window_attention(query, key, value, slots, window=LOCAL_WINDOW, causal=True, scale=HEAD_DIM**-0.5)
    return layer["output"](seen.transpose(1, 2).flatten(2))


def train(name: str, length: int, steps: int) -> dict[str, float | int]:
    """Bits per byte of the first held-out bytes, for each seed, each byte read once."""
    text, held_out = first_bytes("train", steps * STEP_TOKENS), first_bytes("validation", EVALUATED_TOKENS)
    facts: dict[str, float | int] = {"steps": steps, "tokens": steps * STEP_TOKENS}
    for seed in SEEDS:
        torch.manual_seed(seed)
        trained = model(length, **OPTIONS[name])
        plan = Plan(steps, learning_rate=3e-3, warm_up=30, weight_decay=0.01, seed=seed)
        learn(f"{name}, seed {seed}", trained, _order(text, length, seed), plan)
        facts[f"bits of seed {seed}"] = _bits(trained, held_out[: len(held_out) // length * length].view(-1, length))
    facts["bits"] = sum(facts[f"bits of seed {seed}"] for seed in SEEDS) / len(SEEDS)
    return facts


def _order(text: Tensor, length: int, seed: int) -> Callable[[int], Batch]:
    sequences = text[: len(text) // length * length].view(-1, length)
    order = torch.randperm(len(sequences), generator=torch.Generator().manual_seed(seed))
    batch = STEP_TOKENS // length

    def draw(step: int) -> Batch:
        chosen = sequences[order[step * batch : (step + 1) * batch]].long()
        return chosen, chosen

    return draw


@torch.no_grad()
def _bits(trained: nn.Module, sequences: Tensor) -> float:
    losses = [trained.eval()(input_ids=part, labels=part).loss for part in sequences.long().split(8)]
    return float(torch.stack(losses).mean() / torch.tensor(2.0).log())


def _check() -> str:
    """It is the same function as the model with all options off, gradients included."""
    ours, hand = model(CHECK_LENGTH).train(), ByHand().train()
    ids = torch.randint(VOCABULARY, (2, CHECK_LENGTH))
    mine, theirs = list(ours.parameters()), list(hand.parameters())
    if [tuple(each.shape) for each in mine] != [tuple(each.shape) for each in theirs]:
        raise ContractError("the layers written by hand have other parameters than the model")
    with torch.no_grad():
        for parameter, other in zip(mine, theirs, strict=True):
            other.copy_(parameter)
    losses = []
    for each in (ours, hand):
        torch.manual_seed(1)
        loss = each(input_ids=ids, labels=ids).loss
        loss.backward()
        losses.append(loss.item())
    apart = max(float((one.grad - other.grad).abs().max()) for one, other in zip(mine, theirs, strict=True))
    if abs(losses[0] - losses[1]) > 1e-5 or apart > 1e-4:
        raise ContractError(f"losses {losses[0]:.6f} and {losses[1]:.6f}, gradients apart by {apart:.1e}")
    return f"the same {len(mine)} parameters, loss and gradients (apart by {apart:.0e}) as the model's"
