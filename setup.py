"""Builds the CPU kernels: one plain shared library a processor generation, all of them optional.

Everything else about the package is in pyproject.toml. The libraries link to nothing but the C++ runtime, so one
build serves every Python and every torch; where no compiler is found, the package works without them.
"""

import platform
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

OPS = Path("src/reformer/ops")
SOURCES = [
    OPS / "native/features.cpp",
    OPS / "orderings/cpu.cpp",
    OPS / "native/unit_vectors.cpp",
    OPS / "window_attention/cpu.cpp",
]
FLAGS = [
    "-std=c++17",
    "-O3",
    "-g0",
    "-fvisibility=hidden",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
]
AVX2 = ["-mavx2", "-mfma"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mprefer-vector-width=512"]
VARIANTS = {"generic": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    VARIANTS |= {"avx2": AVX2, "avx512": AVX512, "avx512_bf16": [*AVX512, "-mavx512bf16"]}
    VARIANTS["amx"] = [*VARIANTS["avx512_bf16"], "-mamx-tile", "-mamx-bf16"]


class BuildKernels(build_ext):
    """Plain libraries, not Python modules: no ABI tag in the name, and objects of the variants kept apart."""

    def get_ext_filename(self, fullname: str) -> str:
        return str(Path(*fullname.split("."))) + ".so"

    def build_extension(self, ext: Extension) -> None:
        shared = self.build_temp
        self.build_temp = str(Path(shared) / ext.name)
        try:
            super().build_extension(ext)
        finally:
            self.build_temp = shared


setup(
    ext_modules=[
        Extension(
            f"reformer.ops.native.kernels_{name}",
            sources=[str(source) for source in SOURCES],
            depends=[str(header) for header in sorted(OPS.rglob("*.h"))],
            extra_compile_args=[*FLAGS, *flags],
            extra_link_args=["-pthread"],
            language="c++",
            optional=True,
        )
        for name, flags in VARIANTS.items()
    ],
    cmdclass={"build_ext": BuildKernels},
)
