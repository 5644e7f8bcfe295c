"""Random calls of the CPU kernels, compiled with sanitizers: `python -m tests.ops.sanitize [calls]`."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
OPS = HERE.parents[1] / "src/reformer/ops"
SANITIZERS = {
    "address,undefined": ["-fno-sanitize-recover=all"],
    "thread": [],
}
PROCESSORS = {"plain": [], "avx2": ["-mavx2", "-mfma"], "this processor": ["-march=native"]}


def main() -> int:
    calls = sys.argv[1] if len(sys.argv) > 1 else "30"
    compiler = os.environ.get("CXX", "g++")
    with tempfile.TemporaryDirectory() as folder:
        for sanitizer, flags in SANITIZERS.items():
            for processor, machine in PROCESSORS.items():
                program = Path(folder) / "fuzz"
                command = [compiler, "-std=c++17", "-O1", "-g", "-ffp-contract=fast", f"-fsanitize={sanitizer}"]
                command += [*flags, *machine, f"-I{OPS}", str(HERE / "fuzz.cpp"), "-pthread", "-o", str(program)]
                subprocess.run(command, check=True)
                print(f"{sanitizer} on {processor}: ", end="", flush=True)
                subprocess.run([program, calls], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
