"""An encoder-decoder that copies and that reverses: what comes through from a hashed encoder to the decoder."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.case import Action, Contender, ContractError
from benchmarks.learning import Batch, Plan, learn

VOCABULARY = 256
TOKENS = 1 << 12
"""Of source, and as many of target, in a step; four times as many are evaluated."""

STEPS = 400
QUICK_STEPS = 20
"""In their place at lengths below 500, which are for a short look."""

SHORTEST = 24
RISE = 0.6
"""The sequences grow from the shortest to the full length over this part of the steps."""

WRITTEN = 4
"""So many sequences are also written token by token."""

CHECK_LENGTH = 24

TASKS: dict[str, Callable[[Tensor], Tensor]] = {"copy": lambda ids: ids, "reverse": lambda ids: ids.flip(1)}
KINDS: dict[str, dict[str, Any]] = {
    "lsh": {"attention_layers": ["lsh"]},
    "full, one stream": {"attention_layers": ["full"], "residual_streams": 1, "reversible": False},
}


def copy_reverse(task: str, kind: str) -> Contender:
    """One kind of encoder on one task; the decoder looks at its neighbours and at the whole source."""

    def build(length: int) -> dict[str, Action]:
        plan = _plan(STEPS if length >= 500 else QUICK_STEPS)
        return {"train": Action(lambda _: train(task, kind, length, plan))}

    family = "ours" if kind == "lsh" else "full"
    return Contender(f"{task}: {kind}", family, build, partial(_check, task, kind), {"task": task, "kind": kind})


def _plan(steps: int) -> Plan:
    return Plan(steps, learning_rate=2e-3, warm_up=min(40, steps // 4))


def model(kind: str, length: int) -> Any:
    """One layer of 64 on either side, a convolution over seven tokens before each attention, and no positions: where
    to read next follows from what was written last."""
    from reformer.models import ReformerConfig, ReformerForConditionalGeneration

    return ReformerForConditionalGeneration(
        ReformerConfig(
            vocab_size=VOCABULARY,
            hidden_size=64,
            num_attention_heads=2,
            attention_head_size=32,
            feed_forward_size=128,
            hidden_act="relu",
            is_encoder_decoder=True,
            decoder_attention_layers=["local"],
            cross_attention_layers=["full"],
            local_window=16,
            lsh_window=32,
            num_buckets=32,
            num_rounds=2,
            convolution_kernel=7,
            position_embedding_type="none",
            max_position_embeddings=length,
            pad_token_id=0,
            **KINDS[kind],
        )
    )


def pairs(task: str, length: int, batch: int) -> Batch:
    """Random tokens, and the same in the order that is asked for."""
    ids = torch.randint(1, VOCABULARY, (batch, length))
    return ids, TASKS[task](ids)


def length_of(step: int, steps: int, length: int) -> int:
    """How long the sequences of a step are: what to look for is found among few tokens first."""
    risen = min(1.0, step / (RISE * steps))
    return min(length, round(SHORTEST * (length / SHORTEST) ** risen))


def train(task: str, kind: str, length: int, plan: Plan, tokens: int = TOKENS) -> dict[str, float | int]:
    """The accuracy on sequences that were not trained on, given all before and written alone, and what it took."""
    torch.manual_seed(plan.seed)
    trained = model(kind, length)

    def draw(step: int) -> Batch:
        now = length_of(step, plan.steps, length)
        return pairs(task, now, max(1, tokens // now))

    facts = learn(f"{task}, {kind}, {length} tokens", trained, draw, plan)
    return facts | accuracies(trained.eval(), pairs(task, length, max(WRITTEN, 4 * tokens // length)))


@torch.no_grad()
def accuracies(trained: Any, batch: Batch) -> dict[str, float]:
    """The part of the targets that is the likeliest token behind the target before it (`accuracy`), and of a few of
    them the part that is right where the model goes on from what it has written itself (`written`)."""
    source, target = batch
    read = trained.prepare_decoder_input_ids_from_labels(target)
    found = trained(input_ids=source, decoder_input_ids=read).logits.argmax(-1)
    few, asked = source[:WRITTEN], target[:WRITTEN]
    new = asked.shape[1]
    made = trained.generate(input_ids=few, max_new_tokens=new, do_sample=False, use_cache=True, pad_token_id=0)
    return {
        "accuracy": float((found == target).float().mean()),
        "written": float((made[:, 1 : new + 1] == asked).float().mean()),
    }


def _check(task: str, kind: str) -> str:
    """The target is what its name says, and one batch can be learned by heart."""
    torch.manual_seed(0)
    source, target = pairs(task, CHECK_LENGTH, 4)
    if task == "reverse" and not torch.equal(target.flip(1), source):
        raise ContractError("the target is not the source reversed")
    before, after = (
        learn(f"{task}, {kind}", model(kind, CHECK_LENGTH), lambda _: (source, target), Plan(steps, 1e-2, warm_up=5))
        for steps in (2, 40)
    )
    if not after["loss"] < before["loss"] - 0.5:
        raise ContractError(f"40 steps did not lower the loss by 0.5: {before['loss']:.3f} to {after['loss']:.3f}")
    return f"loss {before['loss']:.3f} to {after['loss']:.3f} in 40 steps on one batch"
