"""The machine of a measurement: processor, GPU, memory, versions, commit, and how busy it was."""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from benchmarks.case import Case
from reformer.errors import ReformerError

PACKAGES = (
    "reformer-torch",
    "torch",
    "triton",
    "transformers",
    "reformer-pytorch",
    "sklearn-crfsuite",
    "seqeval",
    "numpy",
)

ROOT = Path(__file__).parent.parent


NEEDED = (
    "torch sees no GPU, and {case} measures one. With an NVIDIA card and `pip install -e '.[bench,gpu]'`: "
    "`python -m benchmarks.run --device cuda`. Without a card, `TRITON_INTERPRET=1 python -m benchmarks.run "
    "gpu-contract` checks the kernels in Triton's interpreter at small sizes, which says nothing of their speed"
)


def device_for(case: Case, given: str | None) -> str:
    """The device to measure a case on: its own if none is given. In Triton's interpreter contracts alone are checked,
    on the processor, because times would mean nothing.

    Raises:
        ReformerError: it needs a GPU that is not here, or that the kernels do not run on.
    """
    import torch

    from reformer.ops import gpu

    device = given or case.device
    if not device.startswith("cuda"):
        return device
    if gpu.INTERPRETED and gpu.MISSING is None:
        if case.actions:
            raise ReformerError(f"in Triton's interpreter gpu-contract alone can be checked, not {case.name}")
        return "cpu"
    if not torch.cuda.is_available():
        raise ReformerError(NEEDED.format(case=case.name))
    reason = gpu.why_unavailable() if case.device == "cuda" else None
    if reason is not None:
        raise ReformerError(f"the kernels cannot run here: {reason}")
    return device


def describe(threads: int, device: str) -> dict[str, Any]:
    """Everything that a reader needs in order to judge the numbers."""
    import torch

    from reformer.ops import backend_status
    from reformer.training.allocator import allocator

    torch.set_num_threads(threads)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": threads,
        "memory_bytes": psutil.virtual_memory().total,
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "allocator": allocator(),
        "backends": backend_status(),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        **(_card() if device.startswith("cuda") else {}),
    }


def _card() -> dict[str, Any]:
    import torch

    found = torch.cuda.get_device_properties()
    return {
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


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit, with "+" where `src` or `benchmarks` differ from it; None outside a clone."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "src", "benchmarks", ":!benchmarks/results")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
