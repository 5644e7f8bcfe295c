"""Training steps of small models on one thread and on several, alone and beside busy processes."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.case import Action, Contender, ContractError, Facts

STEPS = 6
"""Of a turn; one before them, in which memory is taken and kernels are chosen, is not counted."""

MODELS: dict[str, tuple[dict[str, Any], int, int]] = {
    "pretrained": (
        {
            "vocab_size": 12_000,
            "hidden_size": 384,
            "num_attention_heads": 12,
            "attention_head_size": 32,
            "feed_forward_size": 1536,
            "attention_layers": ["local"] * 6,
            "local_window": 64,
            "global_tokens": [0, -1],
            "position_embedding_type": "learned",
            "norm_order": "post",
            "attention_bias": "all",
            "residual_streams": 1,
            "reversible": False,
        },
        2,
        475,
    ),
    "small": (
        {
            "vocab_size": 4_000,
            "hidden_size": 128,
            "num_attention_heads": 2,
            "attention_head_size": 64,
            "feed_forward_size": 512,
            "attention_layers": ["local", "local+lsh", "local"],
            "local_window": 32,
            "lsh_window": 32,
            "num_buckets": 64,
            "num_rounds": 1,
            "convolution_kernel": 5,
            "ngram_sizes": [2, 3],
            "ngram_width": 16,
        },
        8,
        512,
    ),
}
"""Labellers like those of the recipes, from a pretrained encoder and from nothing: fields, sequences, tokens each."""

BUSY = {
    "counting": "while True: pass",
    "products": "import numpy as n; a = n.ones((1000, 1000))\nwhile True: a @ a",
}
"""Programs to run beside."""


def sharing(name: str, model: str, threads: int, parts: bool, beside: str | None = None) -> Contender:
    """Steps of a model by so many threads, which share operations or the batch.

    Args:
        parts: each thread computes a part of the batch.
        beside: the program of `BUSY` that runs meanwhile.
    """

    def build(_: int) -> dict[str, Action]:
        step = _steps(model, threads, parts)
        _, rows, tokens = MODELS[model]
        facts = {"tokens": STEPS * rows * tokens}
        return {"step": Action(partial(_run, step), partial(_begin, step, beside), facts)}

    options = {"model": model, "threads": threads, "parts": parts, "beside": beside or "nothing"}
    return Contender(name, model, build, partial(_check, model), options, environment={"OMP_WAIT_POLICY": "passive"})


def sharers() -> Iterator[Contender]:
    """Every model with one thread, two that share operations, and two that share the batch, and what is beside."""
    for model in MODELS:
        for beside in (None, *BUSY):
            for threads, parts, told in ((1, False, "one thread"), (2, False, "operations"), (2, True, "the batch")):
                ending = "" if beside is None else f", beside {beside}"
                yield sharing(f"{model}: {told}{ending}", model, threads, parts, beside)


def _labeller(model: str) -> nn.Module:
    from reformer.models import ReformerConfig, ReformerForTokenClassification

    torch.manual_seed(0)
    config = ReformerConfig(num_labels=7, max_position_embeddings=1024, hidden_dropout_prob=0.1, **MODELS[model][0])
    return ReformerForTokenClassification(config).train()


def _batch(model: str) -> dict[str, Tensor]:
    fields, rows, length = MODELS[model]
    ids = torch.randint(5, fields["vocab_size"], (rows, length))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids % 7}


def _loss(model: nn.Module, batch: dict[str, Tensor], items: int) -> Tensor:
    return model(**batch, num_items_in_batch=items).loss


def _steps(name: str, threads: int, parts: bool) -> Callable[[], None]:
    from reformer.training.batch_parts import PartThreads

    torch.set_num_threads(threads)
    model, batch = _labeller(name), _batch(name)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    items = batch["labels"].numel()
    sharing = PartThreads(threads) if parts else None
    loss = partial(_loss, items=items)

    def step() -> None:
        optimizer.zero_grad()
        if sharing is None:
            loss(model, batch).backward()
        else:
            sharing.backward(model, sharing.split(batch), loss, nullcontext)
        optimizer.step()

    return step


def _begin(step: Callable[[], None], beside: str | None) -> subprocess.Popen[bytes] | None:
    """The program that runs beside, if any, once it is at work and a first step has taken its memory."""
    environment = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    process = None if beside is None else subprocess.Popen([sys.executable, "-c", BUSY[beside]], env=environment)
    step()
    return process


def _run(step: Callable[[], None], process: subprocess.Popen[bytes] | None) -> Facts:
    try:
        for _ in range(STEPS):
            step()
    finally:
        if process is not None:
            process.kill()
            process.wait()
    return {}


def _check(name: str) -> str:
    """Gradients of the parts add up to those of the batch."""
    from reformer.training.batch_parts import PartThreads

    model, batch = _labeller(name).eval(), _batch(name)
    loss = partial(_loss, items=batch["labels"].numel())
    loss(model, batch).backward()
    expected = [each.grad for each in model.parameters()]
    model.zero_grad()
    threads = PartThreads(2)
    threads.backward(model, threads.split(batch), loss, nullcontext)
    threads.close()
    found = [each.grad for each in model.parameters()]
    pairs = ((a, b) for a, b in zip(found, expected, strict=True) if a is not None and b is not None)
    error = max(float((part - whole).abs().max()) for part, whole in pairs)
    if not error < 1e-4:
        raise ContractError(f"gradients of the parts differ by {error:.1e}")
    return f"gradients of two parts differ by {error:.1e} at most"
