"""Copying and reversing with an encoder-decoder, whose decoder sees the source through a hashed encoder."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.case import Contender, ContractError
from benchmarks.learning import Batch, Plan, check_overfitting, learn, learner

VOCABULARY = 256
TOKENS = 1 << 11
"""Of source, and as many of target, in a step; eight times as many are evaluated."""

STEPS = 700
QUICK_STEPS = 20
"""In their place at lengths below 500, which are for a short look."""

SHORT = 16
"""So long are the first sequences, each of one token all over: what a token is comes before where it stands."""

KNOWN, PARTS = 0.1, 8
"""Once the loss of these is below the one, sequences have the full length and as many runs as the other says."""

FOUND, SHORTER = 0.5, 0.88
"""At each step with a loss below the one, the runs of equal tokens get shorter by the other, until they are single
tokens: a place is found roughly first, and then exactly."""

UNTOLD = 0.85
"""For this part of the steps the decoder reads nothing of what stands before, then every other token of it: where to
look next must follow from the place, so that one wrong token does not lead elsewhere."""

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

    def run(length: int) -> dict[str, float | int]:
        steps = STEPS if length >= 500 else QUICK_STEPS
        return train(task, kind, length, Plan(steps, learning_rate=3e-3, warm_up=min(40, steps // 4)))

    family = "ours" if kind == "lsh" else "full"
    return learner(f"{task}: {kind}", family, run, partial(_check, task, kind), task=task, kind=kind)


def model(kind: str, length: int) -> Any:
    """One layer of 64 on either side, with sines of the position on both: those of the target's places are to find
    those of the source's, which a linear map can do for one length, forwards or backwards. Tokens start large, since
    the sines are."""
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
            position_embedding_type="sinusoidal",
            initializer_range=0.125,
            max_position_embeddings=length,
            pad_token_id=0,
            **KINDS[kind],
        )
    )


def pairs(task: str, length: int, batch: int, run: int = 1) -> Batch:
    """Random tokens, each `run` times on end, and the same in the order that is asked for."""
    few = torch.randint(1, VOCABULARY, (batch, length // run + 2))
    ids = few.gather(1, (torch.arange(length) + torch.randint(run, (batch, 1))) // run)
    return ids, TASKS[task](ids)


class Lesson(nn.Module):
    """A model in training: what its decoder reads, and how long the runs are by what it has learned so far."""

    def __init__(self, trained: Any, task: str, length: int, plan: Plan, tokens: int) -> None:
        super().__init__()
        self.trained, self.task, self.length, self.plan, self.tokens = trained, task, length, plan, tokens
        self.run: float = length
        self.told = False

    def draw(self, step: int) -> Batch:
        """The sequences of a step."""
        self.told = step >= UNTOLD * self.plan.steps
        length = SHORT if self.run == self.length else self.length
        return pairs(self.task, length, max(1, self.tokens // length), round(min(self.run, length)))

    def forward(self, input_ids: Tensor, labels: Tensor) -> Any:
        read = self.trained.prepare_decoder_input_ids_from_labels(labels)
        left_out = torch.rand(read.shape) < (0.5 if self.told else 1.0)
        found = self.trained(input_ids=input_ids, decoder_input_ids=read.masked_fill(left_out, 0), labels=labels)
        self._go_on(float(found.loss.detach()))
        return found

    def _go_on(self, loss: float) -> None:
        if self.run == self.length:
            self.run = self.length / PARTS if loss < KNOWN else self.run
        elif loss < FOUND:
            self.run = max(1.0, self.run * SHORTER)


def train(task: str, kind: str, length: int, plan: Plan, tokens: int = TOKENS) -> dict[str, float | int]:
    """The accuracy on sequences that were not trained on, given all before and written alone, and what it took."""
    torch.manual_seed(plan.seed)
    lesson = Lesson(model(kind, length), task, length, plan, tokens)
    facts = learn(f"{task}, {kind}, {length} tokens", lesson, lesson.draw, plan)
    held_out = pairs(task, length, max(WRITTEN, 8 * tokens // length))
    return facts | {"run": lesson.run} | accuracies(lesson.trained.eval(), held_out)


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
    return check_overfitting(f"{task}, {kind}", lambda: model(kind, CHECK_LENGTH), (source, target), 1e-2)
