"""Builds the CPU kernels: one plain shared library a processor generation, all of them optional.

Everything else about the package is in pyproject.toml. The libraries link to nothing but the C++ runtime, so one
build serves every Python and every torch; where no GCC or Clang is found, the package works without them.
"""

import copy
import os
import platform
import shutil
import sys
import time
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError
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
AVX512_BF16 = [*AVX512, "-mavx512bf16"]
# Scheduled before registers are given out, a product's numbers need more of them than there are.
NEON = ["-fno-schedule-insns"]
FAMILIES = {
    "x86_64": {
        "generic": [],
        "avx2": AVX2,
        "avx512": AVX512,
        "avx512_bf16": AVX512_BF16,
        "amx": [*AVX512_BF16, "-mamx-tile", "-mamx-bf16"],
    },
    "aarch64": {"neon": NEON, "neon_bf16": [*NEON, "-march=armv8.2-a+bf16"]},
}
MACHINE = platform.machine().lower()
VARIANTS = FAMILIES.get({"amd64": "x86_64", "arm64": "aarch64"}.get(MACHINE, MACHINE), {"generic": []})
if sys.platform == "darwin":
    # Of the two processors that Python itself may be made for, the flags suit this one.
    os.environ.setdefault("ARCHFLAGS", f"-arch {MACHINE}")


class BuildKernels(build_ext):
    """Plain libraries, not Python modules: no ABI tag in the name. The variants are compiled side by side."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def get_ext_filename(self, fullname: str) -> str:
        return str(Path(*fullname.split("."))) + ".so"

    def get_export_symbols(self, ext: Extension) -> list[str]:
        # Windows is otherwise told to export the initialisation of a module.
        return ext.export_symbols

    def get_libraries(self, ext: Extension) -> list[str]:
        # Nor is Python's own library one of theirs.
        return ext.libraries

    def build_extension(self, ext: Extension) -> None:
        built, place = Path("src", self.get_ext_filename(ext.name)), Path(self.get_ext_fullpath(ext.name))
        in_sources = self.inplace or self.editable_mode
        if in_sources and not newer_group([*ext.sources, *ext.depends, __file__], str(built)):
            # Every set of extras installs the package again; its kernels are compiled once.
            place.parent.mkdir(parents=True, exist_ok=True)
            if built.resolve() != place.resolve():
                shutil.copy2(built, place)
            return
        if self.compiler.compiler_type == "msvc":
            raise CompileError("the kernels are in GCC's and Clang's dialect of C++, which MSVC does not read")
        # All variants have the same sources, and each is compiled in a thread: their objects are kept apart.
        alone = copy.copy(self)
        alone.build_temp = str(Path(self.build_temp) / ext.name)
        begun = time.monotonic()
        super(BuildKernels, alone).build_extension(ext)
        print(f"{place.stem}: compiled in {time.monotonic() - begun:.0f} s", flush=True)


class BuildWheel(bdist_wheel):
    """One wheel for every Python: the libraries know neither Python's ABI nor torch's."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2].replace("universal2", MACHINE)


setup(
    ext_modules=[
        Extension(
            f"reformer.ops.native.kernels_{name}",
            sources=[str(source) for source in SOURCES],
            depends=[str(header) for header in sorted(OPS.rglob("*.h"))],
            extra_compile_args=[*FLAGS, *flags],
            # Windows has none of GCC's libraries, and looks for those beside a library elsewhere.
            extra_link_args=["-pthread", *(["-static"] if sys.platform == "win32" else [])],
            language="c++",
            optional=True,
        )
        for name, flags in VARIANTS.items()
    ],
    cmdclass={"bdist_wheel": BuildWheel, "build_ext": BuildKernels},
)
