"""One way to train for every contender that is judged by what it learns."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.case import Action, Contender, ContractError, Facts

Batch = tuple[Tensor, Tensor]
"""Token ids and labels, both `[batch, length]`; -100 where nothing is asked."""

SAY_SECONDS = 20.0
"""Seconds between two lines on the progress of a training."""


@dataclass(frozen=True)
class Plan:
    """Steps, learning rates and seed of a training; the same for all who are compared."""

    steps: int
    learning_rate: float = 1e-3
    warm_up: int = 50
    """Steps in which the rate rises; in the last third it falls to a tenth."""
    weight_decay: float = 0.0
    seed: int = 0

    def rate(self, step: int) -> float:
        """The part of the learning rate that a step has."""
        risen = min(1.0, (step + 1) / max(1, self.warm_up))
        fallen = max(0.0, step / self.steps - 2 / 3) * 3
        return risen * (0.1 + 0.9 * (1 + math.cos(math.pi * fallen)) / 2)


def learner(
    name: str, family: str, train: Callable[[int], Facts], check: Callable[[], str], **options: Any
) -> Contender:
    """A contender whose one action is a training, by the length or the number of steps."""

    def build(size: int) -> dict[str, Action]:
        return {"train": Action(lambda _: train(size))}

    return Contender(name, family, build, check, options)


def causal_lm(**fields: Any) -> Any:
    """A causal language model with these fields in its configuration."""
    from reformer.models import ReformerConfig, ReformerForCausalLM

    return ReformerForCausalLM(ReformerConfig(is_decoder=True, **fields))


def learn(told: str, model: nn.Module, draw: Callable[[int], Batch], plan: Plan) -> dict[str, float | int]:
    """Train a causal language model on what `draw` gives for each step, and say now and then how far it is.

    Returns:
        What the training took and where the loss ended, as the mean of its last twentieth.
    """
    torch.manual_seed(plan.seed)
    optimizer = torch.optim.AdamW(
        model.train().parameters(), lr=plan.learning_rate, betas=(0.9, 0.98), weight_decay=plan.weight_decay
    )
    begun = said = time.perf_counter()
    tokens, losses = 0, []
    for step in range(plan.steps):
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * plan.rate(step)
        ids, labels = draw(step)
        optimizer.zero_grad(set_to_none=True)
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        tokens += ids.numel()
        losses.append(loss.item())
        now = time.perf_counter()
        if now - said > SAY_SECONDS:
            said = now
            left = (now - begun) / (step + 1) * (plan.steps - step - 1) / 60
            rate = tokens / (now - begun)
            where = f"step {step + 1:,} of {plan.steps:,}, loss {losses[-1]:.3f}, {rate:,.0f} tokens/s"
            print(f"  {told}: {where}, {left:.1f} minutes to go", flush=True)
    last = losses[-max(1, plan.steps // 20) :]
    return {
        "steps": plan.steps,
        "tokens": tokens,
        "loss": sum(last) / len(last),
        "training_seconds": time.perf_counter() - begun,
    }


def sequences_of(text: Tensor, length: int) -> Tensor:
    """A text as sequences of one length, `[count, length]`, without what is left over at its end."""
    return text[: len(text) // length * length].view(-1, length)


def in_random_order(sequences: Tensor, batch: int, seed: int) -> Callable[[int], Batch]:
    """So many sequences for each step, in a random order; behind the last one the first comes again."""
    order = torch.randperm(len(sequences), generator=torch.Generator().manual_seed(seed))

    def draw(step: int) -> Batch:
        chosen = sequences[order[torch.arange(step * batch, (step + 1) * batch) % len(sequences)]].long()
        return chosen, chosen

    return draw


def check_overfitting(told: str, make: Callable[[], nn.Module], batch: Batch, learning_rate: float = 1e-3) -> str:
    """Check that one batch can be learned by heart.

    Raises:
        ContractError: 40 steps do not lower the loss by 0.5.
    """
    before, after = (
        learn(told, make(), lambda _: batch, Plan(steps, learning_rate, warm_up=5))["loss"] for steps in (2, 40)
    )
    if not after < before - 0.5:
        raise ContractError(f"40 steps on one batch did not lower the loss by 0.5: {before:.3f} to {after:.3f}")
    return f"loss {before:.3f} to {after:.3f} in 40 steps on one batch"


def accuracy(model: nn.Module, batch: Batch, at_once: int = 1 << 15) -> float:
    """The part of the labels that is the likeliest token by what stands before them.

    Args:
        at_once: how many tokens go through the model at a time.
    """
    ids, labels = batch
    right = asked = 0
    model.eval()
    rows = max(1, at_once // ids.shape[1])
    with torch.no_grad():
        for part, wanted in zip(ids.split(rows), labels.split(rows), strict=True):
            found = model(input_ids=part).logits[:, :-1].argmax(-1)
            right += int((found == wanted[:, 1:]).sum())
            asked += int((wanted[:, 1:] >= 0).sum())
    return right / asked
