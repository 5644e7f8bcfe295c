"""The contract and the tests of the ops on other processors, as far as this one can take their paths.

Under each compiled variant of the kernels, with MKL, oneDNN and PyTorch told to compute as on a processor that would
have it: `python -m tests.variants [--threads N ...] [--only VARIANT ...] [--tests PATH ...]`.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from reformer.ops import native

ROOT = Path(__file__).parents[1]
TESTS = ("tests/contract", "tests/ops", "tests/nn")

LIBRARIES: Mapping[str, Mapping[str, str]] = {
    "sse4": {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "avx512": {
        "ATEN_CPU_CAPABILITY": "avx512",
        "MKL_ENABLE_INSTRUCTIONS": "AVX512",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
    },
    "avx512_bf16": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"},
    "newest": {},
}
"""Settings that make the libraries take the path of a processor; they take none that this one lacks."""

VARIANTS: Mapping[str, str] = {
    "none": "sse4",
    "generic": "sse4",
    "avx2": "avx2",
    "avx512": "avx512",
    "avx512_bf16": "avx512_bf16",
    "amx": "newest",
    "neon": "newest",
    "neon_bf16": "newest",
}
"""Each variant of the kernels, and the paths of the libraries on a processor that would have it."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.variants", description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--tests", nargs="+", default=TESTS, metavar="PATH")
    given = parser.parse_args(arguments)
    passed = failed = 0
    for name, environment in _environments(given.only, given.threads):
        begun = time.perf_counter()
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n",
            "2",
            "-m",
            "not slow and not data and not libraries and not ray and not browser",
            *given.tests,
        ]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, text=True)
        last = done.stdout.strip().splitlines()[-1:]
        passed, failed = passed + (done.returncode == 0), failed + (done.returncode != 0)
        if done.returncode:
            print(done.stdout, flush=True)
        print(f"{name}: {'passed' if not done.returncode else 'FAILED'} in {time.perf_counter() - begun:.0f} s", *last)
        sys.stdout.flush()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def _environments(variants: list[str], threads: list[int]) -> Iterator[tuple[str, dict[str, str]]]:
    """A name and the environment of each run that this processor is able to do."""
    for variant in variants:
        if variant != "none" and not _runs(variant):
            print(f"{variant}: not compiled, or this processor cannot run it", flush=True)
            continue
        for count in threads:
            chosen = {**LIBRARIES[VARIANTS[variant]], native.CHOICE: variant, "REFORMER_TEST_THREADS": str(count)}
            yield f"{variant}, libraries as on {VARIANTS[variant]}, {count} threads", chosen


def _runs(variant: str) -> bool:
    compiled = Path(native.__file__).with_name(f"kernels_{variant}.so").exists()
    return (
        compiled
        and native.LIBRARY is not None
        and bool(native.LIBRARY.reformer_processor_runs(native.VARIANTS.index(variant)))
    )


if __name__ == "__main__":
    sys.exit(main())
