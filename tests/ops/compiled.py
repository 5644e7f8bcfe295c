"""Compiler of the launches of the `triton` backend for a GPU, on a machine without one.

`python -m tests.ops.compiled DTYPE HEAD_DIM [all]`.

The interpreter runs kernels without types, layouts or a limit on shared memory. Here every launch of some calls is
compiled for an H100-class target, to machine code, and measured: registers, spilled bytes, shared memory.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch

SHARED_MEMORY = 227 * 1024
"""What one program may have on compute capability 9.0, in bytes."""

REGISTERS = 255
"""The most that one thread can have."""


@dataclass(frozen=True)
class Compiled:
    """One kernel as it was compiled for one launch."""

    name: str
    what: str
    registers: int
    spilled: int
    shared: int


@contextmanager
def recorded(tell: Callable[[Compiled], None]) -> Iterator[None]:
    """While this lasts nothing is launched: what would be is compiled, once for every different launch, and told."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from reformer.ops import gpu
    from reformer.ops.self_check import SelfCheck

    done: set[Any] = set()

    def run(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        if grid[0] == 0:
            return
        how = {name: options.pop(name) for name in ("num_warps", "num_stages") if name in options}
        given = dict(zip(self.arg_names, args, strict=False)) | options
        signature, constants, attributes = {}, {}, {}
        for index, parameter in enumerate(self.params):
            value = given[parameter.name]
            signature[parameter.name] = "constexpr" if parameter.is_constexpr else _type(value)
            if signature[parameter.name] == "constexpr":
                constants[(index,)] = value
            elif isinstance(value, torch.Tensor) or (isinstance(value, int) and value % 16 == 0):
                attributes[(index,)] = [["tt.divisibility", 16]]
        key = (self.__name__, str(signature), str(constants), str(sorted(attributes)), str(how))
        if key in done:
            return
        done.add(key)
        kernel = triton.compile(
            ASTSource(self, signature, constants, attributes), target=GPUTarget("cuda", 90, 32), options=how
        )
        tell(Compiled(self.__name__, _what(given, how), *_usage(kernel.asm["cubin"]), kernel.metadata.shared))

    # Tensors lie in this machine's memory; nothing reads them.
    with (
        mock.patch.object(gpu, "DEVICES", ("cpu",)),
        mock.patch("triton.runtime.jit.JITFunction.run", run),
        mock.patch.object(gpu, "why_unsupported", return_value=None),
        mock.patch.object(SelfCheck, "failure", return_value=None),
    ):
        yield


def _type(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        names = {
            torch.float32: "fp32", torch.float64: "fp64", torch.bfloat16: "bf16", torch.float16: "fp16",
            torch.int64: "i64", torch.int32: "i32", torch.int16: "i16", torch.bool: "i1",
        }  # fmt: skip
        return "*" + names[value.dtype]
    if value is None or value is True or value is False or (isinstance(value, int) and value == 1):
        return "constexpr"
    if isinstance(value, float):
        return "fp32"
    return "i32" if -(2**31) <= value < 2**31 else "i64"


def _what(given: dict[str, Any], how: dict[str, int]) -> str:
    names = ("dim", "tile", "keys", "first", "last", "one_row")
    parts = [f"{name}={given[name]}" for name in names if isinstance(given.get(name), int)]
    tensors = (given.get("query"), given.get("vectors"))
    parts += [str(each.dtype).removeprefix("torch.") for each in tensors if isinstance(each, torch.Tensor)]
    return " ".join([*parts, *(f"{name}={number}" for name, number in how.items())])


def _usage(cubin: bytes) -> tuple[int, int]:
    """Registers and spilled bytes of a thread, as the vendor's tool reads them from machine code."""
    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        done = subprocess.run([tool, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True)
    numbers = {name: int(number) for name, number in re.findall(r"(REG|STACK|LOCAL):(\d+)", done.stdout)}
    return numbers["REG"], max(numbers["STACK"], numbers["LOCAL"])


def calls(dtype: torch.dtype, head_dim: int, every_kind: bool) -> None:
    """Forward and backward with shared queries in two orderings, and with queries in a row of their own; or all kinds
    of calls: one ordering or several, with and without the rule of shared queries and keys, causal or not, with scores
    that are transformed."""
    from reformer.ops import Polynomial, Sinh, hash_query_slots, hash_slots, position_slots, random_rotations
    from reformer.ops.window_attention import shared_window_attention, window_attention

    length = 4096
    mask = torch.arange(length)[None] < length - 10
    rotations = random_rotations(2, 1, head_dim, 64)
    query, key, value = (torch.randn(1, 2, length, head_dim, dtype=dtype, requires_grad=True) for _ in range(3))
    slots = hash_slots(query, rotations, mask)
    both = torch.cat((position_slots(mask).expand(-1, 2, -1, -1), slots), 2)
    placed = hash_query_slots(query, key, rotations, mask, causal=True)
    how: dict[str, Any] = {"window": 64, "backend": "triton"}
    outputs = [
        shared_window_attention(query, value, both, causal=True, **how),
        window_attention(query, key, value, placed, slots, causal=True, **how),
    ]
    if every_kind:
        hash_query_slots(query, key, rotations, mask, aligned=False)
        outputs += [
            shared_window_attention(query, value, slots, causal=True, **how),
            window_attention(query, key, value, both, **how),
            window_attention(query, key, value, both, both.clone(), attend_self=False, **how),
            shared_window_attention(query, value, slots, causal=True, transform=Polynomial(torch.ones(2, 3)), **how),
            window_attention(query, key, value, placed, slots, transform=Sinh(torch.ones(2, 1)), **how),
        ]
    for output in outputs:
        output.backward(torch.ones_like(output))


def _line(each: Compiled) -> None:
    text = f"{each.name:18}{each.registers:4} registers {each.spilled:5} spilled {each.shared:7} shared  {each.what}"
    print(text, flush=True)


if __name__ == "__main__":
    with recorded(_line):
        calls(getattr(torch, sys.argv[1]), int(sys.argv[2]), every_kind="all" in sys.argv)
