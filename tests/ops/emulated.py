"""The compiled kernels on processors that QEMU emulates: `python -m tests.ops.emulated [aarch64 | x86_64 ...]`.

Each variant of a family that the emulated processor runs is compiled as `setup.py` has it, computes calls whose
results the definitions of the ops have written to a file, and then random calls beside a plain loop (`fuzz.cpp`).
"""

import argparse
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from reformer.ops import native

from .calls import write_calls

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CALLS = 120


@dataclass(frozen=True)
class Machine:
    """A family of processors: its compiler, its emulator, and the Debian packages that have them."""

    compiler: str
    emulator: tuple[str, ...]
    packages: str

    def missing(self) -> list[str]:
        return [tool for tool in (self.compiler, self.emulator[0]) if shutil.which(tool) is None]


MACHINES = {
    "aarch64": Machine(
        "aarch64-linux-gnu-g++",
        ("qemu-aarch64", "-cpu", "max", "-L", "/usr/aarch64-linux-gnu"),
        "g++-aarch64-linux-gnu qemu-user",
    ),
    "x86_64": Machine("x86_64-linux-gnu-g++", ("qemu-x86_64", "-cpu", "max"), "g++-x86-64-linux-gnu qemu-user"),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.ops.emulated", description=__doc__)
    parser.add_argument("machines", nargs="*", default=list(MACHINES), metavar="MACHINE", help=" or ".join(MACHINES))
    parser.add_argument("--random-calls", type=int, default=10, help="beside the plain loop; some seconds each")
    given = parser.parse_args(arguments)
    if unknown := set(given.machines) - set(MACHINES):
        parser.error(f"{', '.join(unknown)}: expected {' or '.join(MACHINES)}")
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in given.machines:
            machine = MACHINES[name]
            if missing := machine.missing():
                print(f"{name}: {' and '.join(missing)} missing; on Debian: apt-get install {machine.packages}")
                failed += 1
                continue
            calls = Path(folder) / "calls"
            with calls.open("wb") as file:
                write_calls(file, CALLS)
            for variant, flags, runs in variants(name, Path(folder)):
                if not runs:
                    print(f"{variant}: the emulator has no processor that runs it", flush=True)
                    continue
                print(f"{variant}, on an emulated {name}:", flush=True)
                for program, argument in (("replay", str(calls)), ("fuzz", str(given.random_calls))):
                    command = [*machine.emulator, build(machine, program, flags, Path(folder)), argument]
                    fine = subprocess.run(command, check=False).returncode == 0
                    passed, failed = passed + fine, failed + (not fine)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def variants(name: str, folder: Path) -> Iterator[tuple[str, list[str], bool]]:
    """The variants of a family: name, flags, and whether the emulated processor can run it."""
    machine, family = MACHINES[name], _setup()["FAMILIES"][name]
    done = subprocess.run([*machine.emulator, build(machine, "levels", [], folder)], check=True, stdout=subprocess.PIPE)
    levels = [int(level) for level in done.stdout.split()]
    for variant, flags in family.items():
        yield variant, flags, native.VARIANTS.index(variant) in levels


def build(machine: Machine, program: str, flags: list[str], folder: Path) -> str:
    """The program, compiled for the machine with the variant's flags."""
    place = str(folder / program)
    source, include = str(HERE / f"{program}.cpp"), f"-I{ROOT / 'src/reformer/ops'}"
    command = [machine.compiler, *_setup()["FLAGS"], *flags, include, source, "-pthread", "-o", place]
    subprocess.run(command, check=True)
    return place


def _setup() -> dict[str, Any]:
    with patch("setuptools.setup"):
        return runpy.run_path(str(ROOT / "setup.py"))


if __name__ == "__main__":
    sys.exit(main())
