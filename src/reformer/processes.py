"""Identity of a process, by which another one can tell whether it is still alive."""

import hashlib
import os
import platform
from functools import cache
from pathlib import Path

import psutil


def identity() -> str:
    """This process as `HOST-NUMBER-START`, of letters, digits and hyphens, so that it can stand in a file's name."""
    number = os.getpid()
    return f"{_host()}-{number}-{_start(number)}"


def is_dead(of: str) -> bool:
    """Whether the process with this `identity` has certainly ended.

    False for a process of another machine or container, which cannot be asked for, and for what is no identity.
    """
    host, _, rest = of.partition("-")
    number, _, start = rest.partition("-")
    if host != _host() or not number.isdecimal():
        return False
    if not _exists(int(number)):
        return True
    now = _start(int(number))
    # Numbers are used again: an equal number with another start is another process.
    return now is None or (bool(start) and start != "0" and now not in (start, "0"))


@cache
def _host() -> str:
    """Digest of the host's name and of the space in which process numbers count: containers may share the name."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return hashlib.sha256(f"{platform.node()}\0{space}".encode()).hexdigest()[:12]


def _start(number: int) -> str | None:
    """The boot and the clock tick that a process has started at, elsewhere than on Linux the second; "0" where the
    system does not say, and None of a process that has ended and is still listed."""
    try:
        # In clock ticks since the boot, which no correction of the clock can change. The program's name before may
        # hold blanks and brackets.
        fields = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:
        try:
            return f"{psutil.Process(number).create_time():.0f}"
        except psutil.Error:
            return "0"
    return None if fields[0] in ("Z", "X") else f"{boot}{fields[19]}"


def _exists(number: int) -> bool:
    # On Windows `os.kill` would end the process.
    if os.name == "nt":
        return psutil.pid_exists(number)
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
