"""The build of the kernels: variants of each family of processors, and what is built once."""

import runpy
from pathlib import Path
from unittest.mock import patch

import pytest

from reformer.ops import native

setuptools = pytest.importorskip("setuptools")
ROOT = Path(__file__).parents[1]


def setup(machine, system="linux"):
    with (
        patch("setuptools.setup") as called,
        patch("platform.machine", return_value=machine),
        patch("sys.platform", system),
        patch.dict("os.environ"),
    ):
        return runpy.run_path(str(ROOT / "setup.py")), called.call_args.kwargs


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("x86_64", ["generic", "avx2", "avx512", "avx512_bf16", "amx"]),
        ("AMD64", ["generic", "avx2", "avx512", "avx512_bf16", "amx"]),
        ("aarch64", ["neon", "neon_bf16"]),
        ("arm64", ["neon", "neon_bf16"]),
        ("riscv64", ["generic"]),
    ],
)
def test_each_family_of_processors_has_variants_that_the_loader_knows(machine, expected):
    names, _ = setup(machine)
    assert list(names["VARIANTS"]) == expected
    assert set(expected) <= set(native.VARIANTS)
    assert expected[0] in native.BASES
    # The loader takes the last that the processor runs.
    assert expected == sorted(expected, key=native.VARIANTS.index)


def test_libraries_of_windows_are_no_modules_and_need_no_others():
    names, given = setup("AMD64", "win32")
    command = names["BuildKernels"](setuptools.Distribution())
    for extension in given["ext_modules"]:
        assert "-static" in extension.extra_link_args
        with patch("sys.platform", "win32"):
            assert command.get_export_symbols(extension) == command.get_libraries(extension) == []


def test_a_compiler_that_cannot_read_the_kernels_is_named(tmp_path):
    names, given = setup("AMD64", "win32")
    command = names["BuildKernels"](setuptools.Distribution())
    command.ensure_finalized()
    command.build_lib = str(tmp_path)
    command.compiler = type("MSVC", (), {"compiler_type": "msvc"})()
    with pytest.raises(names["CompileError"], match="which MSVC does not read"):
        command.build_extension(given["ext_modules"][0])
