"""Self-check of one op's kernels: a small comparison, run once per device before the kernels are chosen by default."""

import threading
import warnings
from collections.abc import Callable

import torch
from jaxtyping import Shaped
from torch import Tensor

from reformer.errors import ReformerError
from reformer.ops import gpu, standard


class SelfCheck:
    """Verdict on an op's Triton kernels, one for each device, found on the first call and kept for the process.

    The first call takes as long as the compilation of the kernels that the comparison launches, which Triton keeps on
    disk. Where the comparison fails, the user is warned once and plain PyTorch computes the op; the kernels can still
    be chosen by name, and those of other ops are not affected.

    Args:
        name: of the op, for messages.
        discrepancy: compares the kernels on a device with the definition; a sentence on the difference, or None. What
            it raises counts as a difference, so that a kernel that does not compile is not chosen either.
    """

    def __init__(self, name: str, discrepancy: Callable[[torch.device], str | None]) -> None:
        self.name = name
        self._discrepancy = discrepancy
        self._verdicts: dict[str, str | None] = {}
        self._lock = threading.Lock()

        # A function of this object's own, because torch marks functions as constant and not methods: a traced call
        # without the mark would trace the comparison, with its thread, into the graph.
        @torch.compiler.assume_constant_result
        def failure(device: torch.device) -> str | None:
            return self._verdict(device)

        self._failure = failure

    def failure(self, device: torch.device) -> str | None:
        """Why the kernels are not chosen on this device; None if the comparison succeeded. Compared on the first call.

        Raises:
            ReformerError: the first call is made while a CUDA graph is captured.
        """
        return self._failure(device)

    def serves(self, tensor: Shaped[Tensor, "..."]) -> bool:
        """Whether the kernels take this tensor and are chosen by default: on a GPU where the comparison succeeded,
        unless standard operators are wanted."""
        if standard.is_wanted() or tensor.device.type not in gpu.DEVICES or gpu.why_unsupported(tensor) is not None:
            return False
        return gpu.INTERPRETED or self.failure(tensor.device) is None

    def _verdict(self, device: torch.device) -> str | None:
        key = str(device)
        with self._lock:
            if key not in self._verdicts:
                if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
                    raise ReformerError(
                        f"the first call of {self.name} on a GPU checks its kernels, which cannot be captured into a "
                        "CUDA graph: make the call once before the capture, as torch asks for anyway"
                    )
                self._verdicts[key] = self._compare(device)
                if self._verdicts[key] is not None:
                    warnings.warn(
                        f"the triton kernels of {self.name} are not used on {device}: {self._verdicts[key]}. Plain "
                        "PyTorch is used instead; `reformer env` repeats this",
                        stacklevel=2,
                    )
        return self._verdicts[key]

    def _compare(self, device: torch.device) -> str | None:
        """The discrepancy, found in a new thread, where no autocast, inference mode or capture of the caller is on."""
        verdict: list[str | None] = []

        def run() -> None:
            try:
                verdict.append(self._discrepancy(device))
            except Exception as error:
                lines = str(error).strip().splitlines()
                verdict.append(f"{type(error).__name__}: {lines[0] if lines else ''}")

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return verdict[0]
