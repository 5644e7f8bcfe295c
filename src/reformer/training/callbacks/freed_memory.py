"""Freed memory, kept by the GNU C library for the next large tensors: a third of a step's time on a long sequence."""

import ctypes
from typing import Any

from rich.console import Console
from transformers import PreTrainedModel, TrainerControl, TrainerState, TrainingArguments

from reformer.terminal import say
from reformer.training.allocator import LARGEST_KEPT, gives_back
from reformer.training.callbacks.base import ReportingCallback
from reformer.training.memory import free_memory, peak_memory

HEADROOM = 2
"""Multiple of the peak memory that must still be free. Fragmentation makes a process larger, and never doubled one."""

KEPT = "freed memory is kept from here on: steps take less time, and up to half as much memory again"
ADVICE = (
    "tensors as large as these are taken from the system at every use, and too little memory is left to keep them; "
    "with jemalloc a step takes a third less time: see docs/guides/language-models.md"
)

# Parameters of mallopt (malloc.h), and the GNU C library's own default of the second.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_USUAL_MMAP_MAX = 1 << 16


class FreedMemory(ReportingCallback):
    """Memory of large tensors, kept by the GNU C library from the first step that has such tensors to the end.

    Without enough memory to spare nothing is kept, and another allocator is advised.

    Args:
        model: on the CPU; elsewhere nothing is done.
        console: for a note about what was done.
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
        # The residual stream in float32 is the largest tensor that every model has.
        if not gives_back(4 * tokens * self._width):
            return
        self._decided = True
        self._keeps = free_memory() >= HEADROOM * args.world_size * peak_memory() and _keep()
        say(self._console, f"note: {KEPT if self._keeps else ADVICE}")

    def close(self) -> None:
        """Give freed memory back to the system, now and from here on."""
        if self._keeps:
            library = ctypes.CDLL(None)
            library.mallopt(_MMAP_MAX, _USUAL_MMAP_MAX)
            library.mallopt(_TRIM_THRESHOLD, 2 * LARGEST_KEPT)
            library.malloc_trim(0)
            self._keeps = False


def _keep() -> bool:
    library = ctypes.CDLL(None)
    return bool(library.mallopt(_MMAP_MAX, 0) and library.mallopt(_TRIM_THRESHOLD, -1))
