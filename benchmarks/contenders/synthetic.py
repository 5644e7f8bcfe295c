"""Three small tasks that tell what an attention can reach: counting on, copying, and finding a needle."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.case import Contender, ContractError
from benchmarks.contenders.duplication import duplicated
from benchmarks.learning import Batch, Plan, accuracy, causal_lm, check_overfitting, learn, learner

VOCABULARY = 128
NUMBERS = 96
"""`increment` counts modulo this."""

ASK, MARK = 0, 1
KEYS, VALUES, FILLER = range(2, 34), range(34, 64), range(64, 128)

TOKENS = 1 << 13
"""Of a step; sixteen times as many are evaluated."""

STEPS = {"increment": 200, "copy": 400, "needle": 500}
QUICK_STEPS = 20
"""In their place at lengths below 1024, which are for a short look."""

SHORTEST, FOUND = 64, 0.3
"""Training begins with sequences of the one length, and they get twice as long at each step with a loss below the
other: what to look for is found where there is little to look through."""

CHECK_LENGTH = 64


def increment(length: int, batch: int) -> Batch:
    """Counting on from a random number in random steps of 1 to 8: what the last two tokens tell."""
    start, step = torch.randint(NUMBERS, (batch, 1)), torch.randint(1, 9, (batch, 1))
    ids = (start + step * torch.arange(length)) % NUMBERS
    labels = ids.clone()
    labels[:, :2] = -100
    return ids, labels


def needles(length: int, batch: int) -> Batch:
    """A haystack of random tokens with `MARK key value` here and there, and at its end `ASK key value` for each of
    the keys in another order; only the values at the end are asked for. 32 keys, or as many as fit."""
    count = min(len(KEYS), length // 16)
    hay = length - 3 * count
    ids = torch.randint(FILLER.start, FILLER.stop, (batch, length))
    labels = torch.full_like(ids, -100)
    for row in range(batch):
        keys = KEYS.start + torch.randperm(len(KEYS))[:count]
        values = torch.randint(VALUES.start, VALUES.stop, (count,))
        # Places three apart, so that no needle is written over another.
        places = 3 * torch.randperm(hay // 3)[:count]
        _write(ids[row], places, MARK, keys, values)
        order, places = torch.randperm(count), hay + 3 * torch.arange(count)
        _write(ids[row], places, ASK, keys[order], values[order])
        labels[row, places + 2] = values[order]
    return ids, labels


def _write(ids: Tensor, places: Tensor, mark: int, keys: Tensor, values: Tensor) -> None:
    ids[places], ids[places + 1], ids[places + 2] = mark, keys, values


TASKS: dict[str, Callable[[int, int], Batch]] = {"increment": increment, "copy": duplicated, "needle": needles}
KINDS = ("full", "local", "lsh", "local+lsh")


def synthetic(task: str, kind: str) -> Contender:
    """Two layers of one kind of attention on one task."""

    def run(length: int) -> dict[str, float | int]:
        return train(task, kind, length, Plan(STEPS[task] if length >= 1024 else QUICK_STEPS))

    return learner(f"{task}: {kind}", kind, run, partial(_check, task, kind), task=task, kind=kind)


def model(kind: str) -> nn.Module:
    """Two layers of 128 with a convolution over five tokens before each attention, so that what stood before a token
    can be asked for. Queries and keys of their own, since a token asks for another than it is; no positions, so that
    what is learned on short sequences holds for long ones."""
    return causal_lm(
        vocab_size=VOCABULARY,
        hidden_size=128,
        num_attention_heads=4,
        attention_head_size=32,
        feed_forward_size=256,
        hidden_act="relu",
        attention_layers=[kind] * 2,
        shared_query_key=False,
        local_window=64,
        lsh_window=128,
        num_buckets=32,
        num_rounds=4,
        convolution_kernel=5,
        position_embedding_type="none",
        reversible=False,
    )


class Lesson(nn.Module):
    """A model in training, and how long its sequences are by what it has learned so far."""

    def __init__(self, trained: nn.Module, draw: Callable[[int, int], Batch], longest: int, tokens: int) -> None:
        super().__init__()
        self.trained, self.sequences, self.longest, self.tokens = trained, draw, longest, tokens
        self.length = min(SHORTEST, longest)

    def draw(self, _: int) -> Batch:
        """The sequences of a step."""
        return self.sequences(self.length, max(1, self.tokens // self.length))

    def forward(self, input_ids: Tensor, labels: Tensor) -> Any:
        found = self.trained(input_ids=input_ids, labels=labels)
        if float(found.loss.detach()) < FOUND:
            self.length = min(2 * self.length, self.longest)
        return found


def train(task: str, kind: str, length: int, plan: Plan, tokens: int = TOKENS) -> dict[str, float | int]:
    """The accuracy on sequences that were not trained on, how long those became that were, and what it took."""
    torch.manual_seed(plan.seed)
    lesson = Lesson(model(kind), TASKS[task], length, tokens)
    facts = learn(f"{task}, {kind}, {length} tokens", lesson, lesson.draw, plan)
    asked = TASKS[task](length, max(1, 16 * tokens // length))
    return facts | {"trained_length": lesson.length, "accuracy": accuracy(lesson.trained, asked)}


def _check(task: str, kind: str) -> str:
    """The labels are tokens of the sequence, and one batch can be learned by heart."""
    torch.manual_seed(0)
    ids, labels = TASKS[task](CHECK_LENGTH, 4)
    asked = int((labels[:, 1:] >= 0).sum())
    if not asked or bool(((labels >= 0) & (labels != ids)).any()):
        raise ContractError(f"{task} asks for {asked} tokens of {ids.numel()}, or for others than there are")
    seen = check_overfitting(f"{task}, {kind}", lambda: model(kind), (ids, labels))
    return f"{seen}; {asked / ids.numel():.0%} asked for"
