"""Defaults of the threads that a command computes with; to be set before PyTorch is imported, which reads them."""

import math
import os
from collections.abc import Callable, MutableMapping
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def set_thread_defaults(environment: MutableMapping[str, str]) -> None:
    """Let threads that wait sleep, and let there be no more of them than the cores that this process may use.

    By default a thread that waits for another computes on for milliseconds; beside busy programs it then uses up its
    turn, and both are put off. In a container whose share of a large machine is a few cores, PyTorch would start a
    thread for each core of the machine. What the user has set stays.
    """
    environment.setdefault("OMP_WAIT_POLICY", "passive")
    quota = core_quota()
    if quota is not None and quota < usable_cores():
        environment.setdefault("OMP_NUM_THREADS", str(max(1, math.floor(quota))))


def usable_cores() -> int:
    """Cores that the system may schedule this process on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def core_quota(groups: Path = CONTROL_GROUPS, membership: Path = MEMBERSHIP) -> float | None:
    """The cores' worth of time that Linux' control groups leave to this process; None without a bound.

    Both versions are read, and of this process's group and all above it the least bound counts: a container sees its
    own group as the root.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError):
        return None
    found: list[float] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            found += _bounds(groups, path, _second_version)
        elif "cpu" in controllers.split(","):
            for name in (controllers, "cpu"):
                found += _bounds(groups / name, path, _first_version)
    return min(found, default=None)


def _bounds(root: Path, path: str, read: Callable[[Path], float | None]) -> list[float]:
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    folders = [root.joinpath(*parts[:count]) for count in range(len(parts) + 1)]
    return [bound for folder in folders if (bound := read(folder)) is not None]


def _second_version(folder: Path) -> float | None:
    return _ratio(_words(folder / "cpu.max"))


def _first_version(folder: Path) -> float | None:
    return _ratio([*_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us")])


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").split()
    except (OSError, UnicodeError):
        return []


def _ratio(words: list[str]) -> float | None:
    """Quota by period, both in microseconds; None for "max", -1 and what is no such pair."""
    if len(words) != 2 or not all(word.isdecimal() for word in words) or not int(words[0]) or not int(words[1]):
        return None
    return int(words[0]) / int(words[1])
