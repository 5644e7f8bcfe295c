"""Memory that large tensors free stays for the next ones: a third of the time of a step on a long sequence."""

import ctypes
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from reformer.training.allocator import LARGEST_KEPT, gives_back

ROOM = 2
"""So many times the most that was needed must still be left. What is kept lies in pieces, but it never doubled."""

KEPT = "freed memory is kept from here on: steps take less time, and up to half as much memory again"
ADVICE = (
    "tensors as large as these are taken from the system at every use, and too little memory is left to keep them; "
    "with jemalloc a step takes a third less time: see docs/guides/language-models.md"
)

# Of mallopt, malloc.h, and what the GNU C library begins with.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_USUAL_MMAP_MAX = 1 << 16


class FreedMemory(TrainerCallback):
    """After the first step with large tensors, lets the GNU C library keep what they free, if there is memory to spare;
    if not, advises another allocator.

    Args:
        model: on the CPU; elsewhere nothing is done.
        console: says what was done.
    """

    def __init__(self, model: PreTrainedModel, console: Console) -> None:
        self._width, self._console = model.config.hidden_size, console
        self._decided = model.device.type != "cpu"
        self._seen, self._keeps = 0, False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._seen = state.num_input_tokens_seen

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._decided:
            return
        batches = args.world_size * args.gradient_accumulation_steps
        tokens, self._seen = (state.num_input_tokens_seen - self._seen) // batches, state.num_input_tokens_seen
        # A residual stream in float32.
        if not gives_back(4 * tokens * self._width):
            return
        self._decided = True
        self._keeps = memory_left() >= ROOM * args.world_size * most_needed() and _keep()
        if state.is_world_process_zero:
            self._console.print(f"note: {KEPT if self._keeps else ADVICE}", highlight=False)

    def release(self) -> None:
        """Give back what is kept, and keep no more."""
        if self._keeps:
            library = ctypes.CDLL(None)
            library.mallopt(_MMAP_MAX, _USUAL_MMAP_MAX)
            library.mallopt(_TRIM_THRESHOLD, 2 * LARGEST_KEPT)
            library.malloc_trim(0)
            self._keeps = False


def memory_left() -> int:
    """The bytes that Linux can still give this process, and its control group allows."""
    left = _kilobytes("/proc/meminfo", "MemAvailable") << 10
    try:
        most, now = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current"))
    except (OSError, ValueError):
        return left
    return min(left, most - now)


def most_needed() -> int:
    """The most bytes that this process has had in memory, on Linux."""
    return _kilobytes("/proc/self/status", "VmHWM") << 10


def _kilobytes(file: str, field: str) -> int:
    return next(int(line.split()[1]) for line in Path(file).read_text().splitlines() if line.startswith(f"{field}:"))


def _keep() -> bool:
    library = ctypes.CDLL(None)
    return bool(library.mallopt(_MMAP_MAX, 0) and library.mallopt(_TRIM_THRESHOLD, -1))
