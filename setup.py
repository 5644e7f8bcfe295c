"""Builds the CPU kernels: one plain shared library a processor generation, all of them optional.

Everything else about the package is in pyproject.toml. The libraries link to nothing but the C++ runtime, so one
build serves every Python and every torch; where no compiler is found, the package works without them.
"""

import copy
import os
import platform
import shutil
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.modified import newer_group

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
    """Plain libraries, not Python modules: no ABI tag in the name. The variants are compiled side by side."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def get_ext_filename(self, fullname: str) -> str:
        return str(Path(*fullname.split("."))) + ".so"

    def build_extension(self, ext: Extension) -> None:
        built, place = Path("src", self.get_ext_filename(ext.name)), Path(self.get_ext_fullpath(ext.name))
        if self.editable_mode and not newer_group([*ext.sources, *ext.depends, __file__], str(built)):
            # Every set of extras installs the package again; its kernels are compiled once.
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(built, place)
            return
        # All variants have the same sources, and each is compiled in a thread: their objects are kept apart.
        alone = copy.copy(self)
        alone.build_temp = str(Path(self.build_temp) / ext.name)
        super(BuildKernels, alone).build_extension(ext)


class BuildWheel(bdist_wheel):
    """One wheel for every Python: the libraries know neither Python's ABI nor torch's."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


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
    cmdclass={"bdist_wheel": BuildWheel, "build_ext": BuildKernels},
)
