"""Random calls of the CPU kernels, compiled with sanitizers: `python -m tests.ops.sanitize [calls] [variant...]`."""

import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

from reformer.ops import native

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SANITIZERS = {"address,undefined": ["-fno-sanitize-recover=all"], "thread": []}


def main() -> int:
    calls, wanted = (sys.argv[1:2] or ["30"])[0], sys.argv[2:] or native.VARIANTS
    with patch("setuptools.setup"):
        setup = runpy.run_path(str(ROOT / "setup.py"))
    compiler = [os.environ.get("CXX", "g++"), *setup["FLAGS"], "-O1", "-g", f"-I{ROOT / 'src/reformer/ops'}"]
    with tempfile.TemporaryDirectory() as folder:
        for variant in wanted:
            if native.LIBRARY is None or not native.LIBRARY.reformer_processor_runs(native.VARIANTS.index(variant)):
                print(f"{variant}: this processor cannot run it", flush=True)
                continue
            for sanitizer, flags in SANITIZERS.items():
                program = Path(folder) / "fuzz"
                command = [*compiler, f"-fsanitize={sanitizer}", *flags, *setup["VARIANTS"][variant]]
                subprocess.run([*command, str(HERE / "fuzz.cpp"), "-pthread", "-o", str(program)], check=True)
                print(f"{variant}, {sanitizer}: ", end="", flush=True)
                subprocess.run([program, calls], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
