"""What hashing adds: small models that differ in what their attention sees alone, on four tasks at growing lengths."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.case import Contender, ContractError
from benchmarks.contenders import byte_lm
from benchmarks.contenders.synthetic import SHORTEST, TASKS, VOCABULARY, Lesson
from benchmarks.learning import Batch, Plan, accuracy, check_overfitting, in_random_order, learn, learner, sequences_of

WINDOW = 64
"""Of a local ordering, and of each round."""

BUCKET = 32
"""Tokens of a bucket, in the mean: the number of buckets grows with the length."""

LAYERS = {"copy": 1, "labelling": 2, "language modelling": 2, "needle": 1}
"""Of a model."""

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "full": ("full", {}),
    "local": ("local", {}),
    "local, three times as wide": ("local", {"local_window": 3 * WINDOW}),
    "lsh, 2 rounds": ("lsh", {"num_rounds": 2}),
    "local+lsh, 1 round": ("local+lsh", {"num_rounds": 1}),
    "local+lsh, 2 rounds": ("local+lsh", {"num_rounds": 2}),
    "local+lsh, 4 rounds": ("local+lsh", {"num_rounds": 4}),
}
"""What a token sees, as the kind of all layers and further fields. The window that is three times as wide has as many
keys as a window and two rounds."""

CHECKED = "local+lsh, 2 rounds"
"""The kind whose model has to learn a batch by heart before anything is measured."""

FULL_TRAINS = 1 << 12
"""The greatest length at which full attention is trained; at greater ones it reads with what it has learned."""


@dataclass(frozen=True)
class Stage:
    """Training at one length, which goes on from the weights of the length before.

    Args:
        steps: how many.
        tokens: of a step, or one sequence if that is longer.
    """

    steps: int
    tokens: int


STAGES: dict[str, tuple[Stage, Stage, Stage]] = {
    "copy": (Stage(400, 1 << 11), Stage(16, 1 << 12), Stage(6, 1 << 14)),
    "labelling": (Stage(48, 1 << 13), Stage(12, 1 << 13), Stage(5, 1 << 14)),
    "language modelling": (Stage(48, 1 << 13), Stage(12, 1 << 13), Stage(5, 1 << 14)),
    "needle": (Stage(400, 1 << 11), Stage(16, 1 << 12), Stage(6, 1 << 14)),
}
"""At a sixteenth, a quarter and all of the length."""

EVALUATED_TOKENS = 1 << 15
QUICK = 1 << 14
"""Below this length a step in ten is made, for a short look."""


def hash_quality(task: str, kind: str) -> Contender:
    """A model of one kind of attention on one task."""
    return learner(
        f"{task}: {kind}", task, partial(train, task, kind), partial(_check, task, kind), task=task, kind=kind
    )


def model(task: str, kind: str, length: int) -> nn.Module:
    """Layers of 64 with a convolution over five tokens before each attention; queries and keys of their own and no
    positions, so that the weights of one length serve the next: only the number of buckets differs."""
    from reformer.models import ReformerConfig, ReformerForCausalLM, ReformerForTokenClassification

    layers, others = KINDS[kind]
    fields = {
        "hidden_size": 64,
        "attention_layers": [layers] * LAYERS[task],
        "num_attention_heads": 2,
        "attention_head_size": 32,
        "feed_forward_size": 128,
        "hidden_act": "relu",
        "shared_query_key": False,
        "local_window": WINDOW,
        "lsh_window": WINDOW,
        "num_buckets": max(2, length // BUCKET),
        "convolution_kernel": 5,
        "position_embedding_type": "none",
        "max_position_embeddings": length,
        "reversible": False,
        **others,
    }
    if task == "labelling":
        tokens, labels = _alphabet()
        return ReformerForTokenClassification(ReformerConfig(vocab_size=tokens, num_labels=labels, **fields))
    vocabulary = 256 if task == "language modelling" else VOCABULARY
    return ReformerForCausalLM(ReformerConfig(is_decoder=True, vocab_size=vocabulary, **fields))


def train(task: str, kind: str, longest: int) -> dict[str, Any]:
    """Scores at three lengths, after training at each, and what the training took."""
    torch.manual_seed(0)
    facts: dict[str, Any] = {"lengths": [longest // 16, longest // 4, longest], "scores": []}
    trained, reached, seconds, tokens = None, SHORTEST, 0.0, 0
    for length, stage in zip(facts["lengths"], STAGES[task], strict=True):
        before, trained = trained, model(task, kind, length)
        if before is not None:
            trained.load_state_dict(without_rotations(before), strict=False)
        learned = kind != "full" or length <= FULL_TRAINS
        if learned:
            steps = stage.steps if longest >= QUICK else max(1, stage.steps // 10)
            plan = Plan(steps, learning_rate=2e-3, warm_up=min(50, steps // 3))
            told = f"{task}, {kind}, {length} tokens"
            if task in TASKS:
                lesson = Lesson(trained, TASKS[task], length, stage.tokens)
                lesson.length = min(reached, length)
                found = learn(told, lesson, lesson.draw, plan)
                reached = lesson.length
            else:
                found = learn(told, trained, _order(task, length, stage), plan)
                reached = length
            seconds, tokens = seconds + found["training_seconds"], tokens + int(found["tokens"])
        facts["scores"].append(_score(task, trained, length) | {"trained_length": reached})
    return facts | {"training_seconds": seconds, "tokens": tokens}


def without_rotations(trained: nn.Module) -> Mapping[str, Tensor]:
    """The weights but for the hash rotations, which are drawn for a number of buckets."""
    return {name: weight for name, weight in trained.state_dict().items() if "rotation_" not in name}


def _order(task: str, length: int, stage: Stage) -> Callable[[int], Batch]:
    """The sequences of each step, in a random order."""
    rows = max(1, stage.tokens // length)
    if task == "language modelling":
        return in_random_order(sequences_of(byte_lm.first_bytes("train", 4_000_000), length), rows, seed=length)
    both = sequences_of(torch.arange(len(_newspaper("train")[0])), length)
    places = in_random_order(both, rows, seed=length)
    ids, labels = _newspaper("train")
    return lambda step: (ids[(chosen := places(step)[0])], labels[chosen])


def _score(task: str, trained: nn.Module, length: int) -> dict[str, float]:
    """What it knows of sequences of this length that it was not trained on."""
    rows = max(1, EVALUATED_TOKENS // length)
    if task in TASKS:
        return {"accuracy": accuracy(trained, TASKS[task](length, rows), at_once=1 << 14)}
    if task == "language modelling":
        held_out = sequences_of(byte_lm.first_bytes("validation", EVALUATED_TOKENS), length)
        found = byte_lm.score(trained, held_out.long())
        return {name: found[name] for name in ("bits", "bits of far", "far bytes") if name in found}
    return {"f1": _entity_f1(trained, length)}


@torch.no_grad()
def _entity_f1(trained: nn.Module, length: int) -> float:
    from reformer.metrics.classification import EntityMetric

    ids, labels = (sequences_of(each[:EVALUATED_TOKENS], length) for each in _newspaper("test"))
    metric = EntityMetric(_labels())
    for row, true in zip(ids.split(1), labels.split(1), strict=True):
        metric.update(trained.eval()(input_ids=row).logits.argmax(-1).numpy(), true.numpy().astype(np.int64))
    return metric.result()["f1"]


@cache
def _newspaper(split: str) -> Batch:
    """A part of the newspaper as one row of characters, with the tag of each."""
    from reformer.data import load, token_tags

    numbers = {label: number for number, label in enumerate(_labels())}
    ids, labels = [], []
    for document in load("people-daily")[split]:
        read = _tokenizer()(document.text + "\n", return_offsets_mapping=True)
        ids += read["input_ids"]
        labels += token_tags(document.spans or (), read["offset_mapping"], numbers)
    return torch.tensor(ids), torch.tensor(labels)


@cache
def _tokenizer() -> Any:
    from reformer.data import character_tokenizer, load

    return character_tokenizer((document.text for document in load("people-daily")["train"]), vocab_size=4096)


@cache
def _labels() -> list[str]:
    from reformer.data import bio_labels, load

    return bio_labels({span.label for document in load("people-daily")["train"] for span in document.spans or ()})


def _alphabet() -> tuple[int, int]:
    """How many tokens and labels there are."""
    return len(_tokenizer()), len(_labels())


def _check(task: str, kind: str) -> str:
    """The weights serve another number of buckets, and a hashed model learns one batch by heart."""
    torch.manual_seed(0)
    length = 2 * SHORTEST
    weights = without_rotations(model(task, kind, length))
    found = model(task, kind, 4 * length).load_state_dict(weights, strict=False)
    if found.unexpected_keys or any("rotation_" not in name for name in found.missing_keys):
        raise ContractError(f"weights of one length do not serve another: {found}")
    if kind != CHECKED:
        return "weights of one length serve another"
    if task in TASKS:
        batch = TASKS[task](length, 2)
    else:
        tokens, classes = (256, 256) if task == "language modelling" else _alphabet()
        ids = torch.randint(tokens, (2, length))
        batch = ids, ids if task == "language modelling" else ids % classes
    return check_overfitting(f"{task}, {kind}", lambda: model(task, kind, length), batch, learning_rate=3e-3)
