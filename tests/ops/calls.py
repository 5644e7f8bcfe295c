"""Calls of every kernel with the results of its definition in float64, in a file that `replay.cpp` reads."""

import random
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from reformer.ops import native
from reformer.ops.orderings import eager
from reformer.ops.unit_vectors import SHORTEST
from reformer.ops.window_attention import Polynomial, Sinh, reference

from .cases import make_case, vectors

BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 6e-2}
"""Differences, as for every compiled variant in `test_cpu`: relative to numbers above 1."""


def write_calls(file: BinaryIO, count: int) -> None:
    choose = random.Random(0)
    kinds = [choose.choice((0, 0, 0, 1, 2, 3)) for _ in range(count)]
    _write(file, kinds)
    for number, kind in enumerate(kinds):
        torch.manual_seed(number)
        (_attention, _buckets, _slots, _units)[kind](file, choose)


def _write(file: BinaryIO, *arrays: list[int] | list[float] | Tensor) -> None:
    for each in arrays:
        array = each.detach().contiguous().numpy().ravel() if isinstance(each, Tensor) else np.array(each)
        array = array.astype(np.int64) if array.size == 0 and not isinstance(each, Tensor) else array
        file.write(np.int64(array.size).tobytes() + array.tobytes())


def _attention(file: BinaryIO, choose: random.Random) -> None:
    dtype, any_ = choose.choice(list(BOUNDS)), _any(choose)
    case = make_case(any_).to(dtype)
    (batch, heads, queries, dim), shared = case.query.shape, case.key_slots is None
    unit = shared and choose.random() < 0.5
    kind = choose.choice([None, Polynomial, Sinh])
    coefficients = 0.05 * torch.randn(heads, 0 if kind is None else 2 if kind is Polynomial else 1).double()
    slots = [case.query_slots, case.query_slots if case.key_slots is None else case.key_slots]
    slots = [each.expand(batch, heads, -1, -1) for each in slots]
    given = [tensor.double().requires_grad_() for tensor in (case.query, case.key, case.value, coefficients)]
    query, key, value, coefficients = given
    grad = torch.randn_like(query).to(dtype).double()
    windows = any_["windows"][: slots[0].shape[2]]
    output = reference.attend(
        query,
        None if unit else key,
        value,
        *slots,
        windows=tuple(windows),
        **{name: any_[name] for name in ("causal", "attend_self", "deduplicate", "scale")},
        transform=None if kind is None else kind(coefficients),
    )
    grads = torch.autograd.grad(output, given, grad, allow_unused=True, materialize_grads=True)
    sizes = [batch, heads, queries, key.shape[2], dim, slots[0].shape[2], choose.randint(0, 3)]
    switches = [any_["causal"], any_["attend_self"], any_["deduplicate"], shared, unit]
    number = 0 if kind is None else kind.number
    options = [*sizes, *map(int, switches), number, coefficients.shape[1], choose.randint(1, 3)]
    _write(file, [native.DTYPES[dtype], *options], [any_["scale"], SHORTEST, BOUNDS[dtype]])
    _write(file, windows, *slots, query, key, value, grad, coefficients, output, *grads)


def _any(choose: random.Random) -> dict[str, Any]:
    """As `cases.ANY` draws it."""
    return {
        "seed": choose.randrange(2**16),
        "batch": choose.randint(1, 2),
        "heads": choose.randint(1, 3),
        "head_dim": choose.choice([1, 3, 8, 16, 24, 64, 80]),
        "length": choose.choice([choose.randint(1, 60), choose.randint(60, 260)]),
        "queries": choose.randint(1, 120),
        "present": choose.choice([0.0, 0.2, 0.8, 1.0]),
        "layouts": ["heads first"] * 3,
        "kind": choose.choice(["shared", "shared+position", "copied", "aligned", "apart", "scattered"]),
        "gaps": choose.choice([1, 3, 1 << 42]),
        "rounds": choose.randint(1, 3),
        "buckets": choose.choice([2, 6, [4, 2]]),
        "windows": choose.choices([1, 2, 5, 16, 33, 100, 1000], k=4),
        "causal": choose.random() < 0.5,
        "attend_self": choose.random() < 0.5,
        "deduplicate": choose.random() < 0.5,
        "scale": choose.choice([0.1, 0.3]),
    }


def _buckets(file: BinaryIO, choose: random.Random) -> None:
    """Whole numbers, whose sums are exact in any order."""
    batch, heads, length, dim, rounds = (choose.randint(1, most) for most in (2, 3, 400, 70, 3))
    dtype, halves = choose.choice(list(BOUNDS)), choose.choices(range(1, 13), k=choose.randint(1, 2))
    given = torch.randint(-50, 51, (batch, heads, length, dim)).double()
    rotations = [torch.randint(-50, 51, (heads, rounds, dim, half)).double() for half in halves]
    sizes = [batch, heads, length, dim, rounds, choose.randint(1, 3)]
    _write(file, [native.DTYPES[dtype], *sizes], halves, given, *rotations, eager.hash_buckets(given, rotations))


def _slots(file: BinaryIO, choose: random.Random) -> None:
    batch, heads, rounds, length, most = (choose.randint(1, most) for most in (2, 3, 3, 300, 40))
    aligned, causal, of_keys = (choose.random() < 0.5 for _ in range(3))
    count = length if of_keys or aligned else choose.randint(1, 300)
    key, query = (torch.randint(most, (batch, heads, rounds, size)) for size in (length, count))
    key_mask, query_mask = (torch.rand(batch, size) < 0.75 for size in (length, count))
    if of_keys:
        expected = eager.bucket_slots(key, key_mask, most)
    else:
        expected = eager.bucket_query_slots(query, key, key_mask, query_mask, most, causal, aligned)
    switches = [aligned, causal, choose.randint(1, 3), of_keys]
    _write(file, [batch, heads * rounds, count, length, most, *map(int, switches)])
    _write(file, query, key, key_mask, query_mask, expected)


def _units(file: BinaryIO, choose: random.Random) -> None:
    dtype, rows, length, dim = choose.choice(list(BOUNDS)), *(choose.randint(3, most) for most in (5, 700, 70))
    given, slopes = (vectors(1, rows, length, dim).to(dtype).double() for _ in range(2))
    given.requires_grad_()
    unit = torch.nn.functional.normalize(given, dim=-1, eps=SHORTEST)
    (grad,) = torch.autograd.grad(unit, given, slopes)
    _write(file, [native.DTYPES[dtype], rows, length, dim, choose.randint(0, 2), choose.randint(1, 3)])
    _write(file, [SHORTEST, BOUNDS[dtype]], given, slopes, unit, grad)
