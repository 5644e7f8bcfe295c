"""Which card a measurement was made on, and what it does at most: memory copied and matrices multiplied by torch."""

import shutil
import subprocess
from typing import Any

from benchmarks.machine import describe as machine

NEEDED = (
    "torch sees no GPU, and this measures one. With an NVIDIA card and `pip install -e '.[bench,gpu]'`: "
    "`python -m benchmarks.gpu`. Without a card, `TRITON_INTERPRET=1 python -m benchmarks.gpu --part check` checks the "
    "kernels in Triton's interpreter at small sizes, which says nothing of their speed"
)

COPIED = 1 << 30
"""Bytes that are copied to find the bandwidth; far more than any cache holds."""

SIDE = 8192


def missing() -> str | None:
    """Why nothing can be measured here; None if it can."""
    import torch

    from reformer.ops import gpu

    if not torch.cuda.is_available():
        return NEEDED
    reason = gpu.unavailable()
    return None if reason is None else f"the kernels cannot run here: {reason}"


def describe() -> dict[str, Any]:
    """Everything that a reader needs in order to judge the numbers."""
    import torch

    found = torch.cuda.get_device_properties()
    return machine(torch.get_num_threads()) | {
        "card": found.name,
        "capability": f"{found.major}.{found.minor}",
        "multiprocessors": found.multi_processor_count,
        "card_memory_bytes": found.total_memory,
        "driver": _driver(),
        "cuda": torch.version.cuda,
    }


def _driver() -> str | None:
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else None


def limits() -> dict[str, float]:
    """Bytes a second that a copy reads and writes, and bfloat16 operations a second of a product of two squares."""
    import torch

    from benchmarks.gpu.timing import measure

    a, b = (torch.empty(COPIED // 2, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    copy = measure(lambda: b.copy_(a))["median_seconds"]
    del a, b
    x, y = (torch.randn(SIDE, SIDE, device="cuda").bfloat16() for _ in range(2))
    product = measure(lambda: torch.mm(x, y))["median_seconds"]
    return {"bytes_a_second": 2 * COPIED / copy, "operations_a_second": 2 * SIDE**3 / product}
