"""Measurement of short training steps and evaluations: their time, and the memory beyond what is held before."""

import ctypes
import gc
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch import Tensor
from transformers import PreTrainedModel

from reformer.insight.plan.growth import Shape
from reformer.models.heads.base import IGNORE_INDEX
from reformer.nn import ResidualSequence, ReversibleSequence
from reformer.nn.recomputation import is_run_again

Batch = Mapping[str, Any]

TOKENS = 2048
"""Tokens of the largest batch that is measured, about."""

INTERVAL = 0.002
"""Seconds between two looks at the memory."""


@dataclass(frozen=True)
class Measured:
    """Time and memory of one call."""

    shape: Shape
    seconds: float
    bytes: float


def short_shapes(target: Shape) -> list[Shape]:
    """Three batches to measure that grow towards a large one, in rows where it has several, and in length."""
    length = min(target.length, TOKENS)
    rows = max(1, min(target.rows, TOKENS // length))
    if rows > 1:
        return [Shape(max(1, rows // 2), length), Shape(rows, max(1, length // 2)), Shape(rows, length)]
    return [Shape(1, max(1, length // 4)), Shape(1, max(1, length // 2)), Shape(1, length)]


def shapes_of_whole_rows(target: Shape) -> list[Shape]:
    """As `short_shapes`, where rows cannot be cut: they grow in number alone."""
    rows = max(1, min(target.rows, TOKENS // target.length))
    return [Shape(max(1, rows // part), target.length) for part in (4, 2, 1)]


def cut(batch: Batch, shape: Shape, length: int | None) -> dict[str, Any]:
    """The batch in another shape: rows repeated or left out, and what has `length` tokens cut to the shape's, nothing
    if that is None.

    Tokens are real everywhere: what padding saves is not planned with.
    """
    found: dict[str, Any] = {}
    for name, each in batch.items():
        if not isinstance(each, Tensor) or not each.dim():
            found[name] = each
            continue
        rows = each.repeat(-(-shape.rows // len(each)), *(1,) * (each.dim() - 1))[: shape.rows]
        found[name] = rows[:, : shape.length] if each.dim() > 1 and each.shape[1] == length else rows
    if "attention_mask" in found:
        found["attention_mask"] = torch.ones_like(found["attention_mask"])
    return found if "character_pieces" not in found else _of_characters(found, shape.length)


def _of_characters(batch: dict[str, Any], length: int) -> dict[str, Any]:
    """A batch with a label a character: without the characters of tokens that were cut off."""
    inside = batch["character_pieces"] < length
    kept = int(inside.any(0).sum())
    found = {name: each[:, :kept] for name, each in batch.items() if name.startswith("character_") or name == "labels"}
    gone = ~inside[:, :kept]
    for name, fill in (("character_pieces", -1), ("labels", IGNORE_INDEX)):
        found[name] = found[name].masked_fill(gone, fill)
    return batch | found


def measure_step(model: PreTrainedModel, batch: Batch, shape: Shape, precision: str) -> Measured:
    """A training step without the optimizer's: gradients are computed and thrown away, and no weight changes.

    The random state is afterwards as it was.
    """

    def step() -> None:
        with _autocast(model, precision):
            loss = model(**batch).loss
        loss.backward()

    was_training = model.training
    learned = [each for each in model.parameters() if each.requires_grad]
    try:
        with torch.random.fork_rng(devices=[]):
            model.train()
            for each in learned:
                each.grad = torch.zeros_like(each)
            # The first one compiles, loads and allocates what later ones find.
            step()
            return _timed(step, shape)
    finally:
        model.train(was_training)
        model.zero_grad(set_to_none=True)


def measure_evaluation(
    model: PreTrainedModel, evaluate: Callable[[], object], shape: Shape, precision: str
) -> Measured:
    """An evaluation of one batch."""
    was_training = model.training

    def step() -> None:
        with torch.no_grad(), _autocast(model, precision):
            evaluate()

    try:
        model.eval()
        step()
        return _timed(step, shape)
    finally:
        model.train(was_training)


def optimizer_seconds(model: PreTrainedModel) -> float:
    """The time of an AdamW step, from that of reading and writing all weights once: it goes over weights, gradients and
    two averages several times."""
    learned = [each.detach() for each in model.parameters() if each.requires_grad]
    if not learned:
        return 0.0
    largest = max(learned, key=Tensor.numel)
    spare = largest.clone()
    begun = time.perf_counter()
    for _ in range(3):
        spare.copy_(largest)
    return PASSES * (time.perf_counter() - begun) / 3 * sum(map(Tensor.numel, learned)) / largest.numel()


PASSES = 8
"""Readings and writings of all weights that an AdamW step takes, about."""


def resident() -> int:
    """Bytes of this process in memory, that which is free in it given back before."""
    gc.collect()
    # Systems without glibc have none.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return psutil.Process().memory_info().rss


def _timed(step: Callable[[], object], shape: Shape) -> Measured:
    before = resident()
    with _watched() as peaks:
        begun = time.perf_counter()
        step()
        seconds = time.perf_counter() - begun
    return Measured(shape, seconds, max(0, max(peaks) - before))


@contextmanager
def _watched() -> Iterator[Sequence[int]]:
    """The bytes of this process in memory while the block runs, every few milliseconds."""
    process, found, ended = psutil.Process(), [psutil.Process().memory_info().rss], threading.Event()

    def watch() -> None:
        while not ended.wait(INTERVAL):
            found.append(process.memory_info().rss)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.append(process.memory_info().rss)
        ended.set()
        thread.join()


def _autocast(model: PreTrainedModel, precision: str) -> Any:
    return torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bfloat16")


@contextmanager
def recomputed(model: PreTrainedModel, target: Shape, precision: str) -> Iterator[None]:
    """Each stack that chooses by the size of its batch as it would for a large one: its layers run again in the
    backward pass, or not."""
    kinds = ((ReversibleSequence, "reversible"), (ResidualSequence, "recompute"))
    stacks: list[tuple[Any, str]] = [
        (module, name) for module in model.modules() for kind, name in kinds if isinstance(module, kind)
    ]
    before = [(module, name, getattr(module, name)) for module, name in stacks]
    # As large as the streams of the batch, in one number.
    hidden = torch.empty(1, device=model.device).expand(target.rows, target.length, model.config.hidden_size)
    try:
        with _autocast(model, precision):
            for module, name in stacks:
                setattr(module, name, is_run_again(getattr(module, name), hidden, module.sublayers))
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
