"""Random calls of the public ops, described by JSON: any shapes, dtypes, layouts, numbers, slots and options."""

import math
import random
from typing import Any

import torch
from torch import Tensor

from reformer import ops
from reformer.ops.long_convolution import long_convolution
from reformer.ops.window_attention import BACKENDS

FLOATS = ("float32", "float32", "float64", "bfloat16", "float16")
DTYPES = (*FLOATS, "int64", "int32", "bool", "uint8", "complex64")
ODD = (0.0, -0.0, 1.0, 1e-40, 3e38, -3e38, math.inf, -math.inf, math.nan, 1e30)
SLOTS = (-1, 0, 1, 2, 1 << 40, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, -(1 << 63), (1 << 40) * 5)
WINDOWS: tuple[Any, ...] = (
    *(
        1,
        2,
        3,
        7,
        64,
        1 << 40,
        1 << 61,
        1 << 63,
        10**30,
        0,
        -1,
        True,
        2.5,
        None,
        "x",
        [],
        [1],
        [2, 3],
        [1, 1, 1],
        [0, 2],
    ),
)
OPS = (
    *("window_attention",) * 6,
    *("shared_window_attention",) * 3,
    *("hash_buckets", "bucket_slots", "bucket_query_slots", "hash_slots", "hash_query_slots", "random_rotations"),
    *("rotations_of_rounds", "position_slots", "unit_vectors", "linear_cross_entropy", "chain_score"),
    *("chain_log_partition", "long_convolution"),
)


def random_call(pick: random.Random) -> dict[str, Any]:
    """One call. Its shapes fit together most of the time."""
    name = pick.choice(OPS)
    sizes = {
        "batch": pick.choice((1, 1, 2, 3, 0)),
        "heads": pick.choice((1, 2, 3, 0) if pick.random() < 0.1 else (1, 2)),
    }
    sizes |= {"length": pick.choice((1, 2, 5, 16, 17, 33, 0)), "queries": pick.choice((1, 3, 16, 40, 0))}
    sizes |= {
        "dim": pick.choice((1, 2, 3, 8, 16, 17, 64, 0) if pick.random() < 0.3 else (8, 16)),
        "orderings": pick.choice((1, 1, 2, 5, 0)),
    }
    sizes |= {"labels": pick.choice((1, 2, 5, 0)), "half": pick.choice((1, 2, 4, 0)), "rounds": pick.choice((1, 2, 4))}
    dtype = pick.choice(FLOATS)
    call: dict[str, Any] = {"op": name, "seed": pick.randrange(1 << 30), "tensors": {}, "options": {}}
    axes, options = SIGNATURES[name]
    for tensor, (shape, kind) in axes.items():
        if kind.endswith("?") and pick.random() < 0.4:
            continue
        kind = kind.rstrip("?")
        sides = [sizes[side] if isinstance(side, str) else side for side in shape]
        if pick.random() < 0.04:
            sides = [pick.choice((0, 1, 2, side, side + 1)) for side in sides][pick.choice((0, 0, 1)) :]
        if kind == "slots" and sides and pick.random() < 0.3:
            sides[0] = 1
        call["tensors"][tensor] = {
            "shape": sides,
            "kind": kind,
            "dtype": dtype
            if kind == "float" and pick.random() < 0.96
            else pick.choice(DTYPES)
            if pick.random() < 0.1
            else None,
            "layout": pick.choice(("plain", "plain", "strided", "expanded", "transposed")),
            "odd": pick.choice((0, 0, 0, 1, 4)),
        }
    for option, values in options.items():
        if option in _REQUIRED or pick.random() < 0.6:
            call["options"][option] = pick.choice(values)
    call["backward"] = pick.random() < 0.5
    call["threads"] = pick.choice((1, 1, 2))
    return call


_REQUIRED = ("window", "causal", "heads", "rounds", "head_dim", "buckets")
_BATCHED = ["batch", "heads", "length", "dim"]
_BACKEND = [None, None, *BACKENDS, "nonsense"]
_ATTENTION: dict[str, Any] = {
    "window": [*WINDOWS, 2, 3, 7, 64],
    "causal": [True, False],
    "attend_self": [True, False],
    "deduplicate": [True, False],
    "scale": [None, 0.0, 1.0, -1.0, 1e30, math.inf, math.nan, "x"],
    "backend": _BACKEND,
    "transform": [
        None,
        None,
        ["Polynomial", 1],
        ["Polynomial", 16],
        ["Polynomial", 17],
        ["Sinh", 1],
        ["Sinh", 2],
        ["Sinh", 0],
    ],
}
_BUCKETS = [0, 1, 2, 8, 64, 1 << 20, 1 << 21, -1, 1 << 40]

SIGNATURES: dict[str, tuple[dict[str, tuple[list[Any], str]], dict[str, Any]]] = {
    "window_attention": (
        {
            "query": (["batch", "heads", "queries", "dim"], "float"),
            "key": (_BATCHED, "float"),
            "value": (_BATCHED, "float"),
            "query_slots": (["batch", "heads", "orderings", "queries"], "slots"),
            "key_slots": (["batch", "heads", "orderings", "length"], "slots?"),
        },
        _ATTENTION,
    ),
    "shared_window_attention": (
        {
            "query": (_BATCHED, "float"),
            "value": (_BATCHED, "float"),
            "slots": (["batch", "heads", "orderings", "length"], "slots"),
        },
        _ATTENTION,
    ),
    "hash_buckets": (
        {"vectors": (_BATCHED, "float"), "rotations": (["heads", "rounds", "dim", "half"], "rotations")},
        {},
    ),
    "bucket_slots": (
        {"buckets": (["batch", "heads", "rounds", "length"], "buckets"), "mask": (["batch", "length"], "mask?")},
        {"most_buckets": _BUCKETS},
    ),
    "bucket_query_slots": (
        {
            "query_buckets": (["batch", "heads", "rounds", "queries"], "buckets"),
            "key_buckets": (["batch", "heads", "rounds", "length"], "buckets"),
            "mask": (["batch", "length"], "mask?"),
            "query_mask": (["batch", "queries"], "mask?"),
        },
        {"most_buckets": _BUCKETS, "causal": [True, False], "aligned": [True, False, False]},
    ),
    "hash_slots": (
        {
            "keys": (_BATCHED, "float"),
            "rotations": (["heads", "rounds", "dim", "half"], "rotations"),
            "mask": (["batch", "length"], "mask?"),
        },
        {},
    ),
    "hash_query_slots": (
        {
            "queries": (["batch", "heads", "queries", "dim"], "float"),
            "keys": (_BATCHED, "float"),
            "rotations": (["heads", "rounds", "dim", "half"], "rotations"),
            "mask": (["batch", "length"], "mask?"),
            "query_mask": (["batch", "queries"], "mask?"),
        },
        {"causal": [True, False], "aligned": [True, False, False]},
    ),
    "random_rotations": (
        {},
        {
            "heads": [0, 1, 2, -1, "x"],
            "rounds": [0, 1, 3, -1],
            "head_dim": [0, 1, 8, -1, 2.5],
            "buckets": [
                0,
                1,
                2,
                3,
                8,
                512,
                1 << 20,
                1 << 21,
                10**9,
                1 << 62,
                -2,
                [],
                [4, 6],
                [3],
                [2] * 30,
                2.0,
                "x",
                [2.0],
                None,
            ],
        },
    ),
    "rotations_of_rounds": (
        {"rotations": (["heads", "rounds", "dim", "half"], "rotations")},
        {"rounds": [0, 1, 2, 5, 100, -1, 2.5, "x"]},
    ),
    "position_slots": ({"mask": (["batch", "length"], "mask")}, {}),
    "unit_vectors": ({"vectors": (_BATCHED, "float")}, {}),
    "linear_cross_entropy": (
        {
            "hidden": (["length", "dim"], "float"),
            "weight": (["labels", "dim"], "float"),
            "target": (["length"], "labels"),
            "bias": (["labels"], "float?"),
        },
        {
            "ignore_index": [-100, 0, 1 << 40],
            "label_smoothing": [0.0, 0.1, 1.0, -1.0, 2.0, math.nan],
            "reduction": ["mean", "sum", "none"],
        },
    ),
    "chain_score": (
        {
            "scores": (["batch", "length", "labels"], "float"),
            "transitions": (["labels", "labels"], "float"),
            "path": (["batch", "length"], "labels"),
            "mask": (["batch", "length"], "mask"),
        },
        {},
    ),
    "chain_log_partition": (
        {
            "scores": (["batch", "length", "labels"], "float"),
            "transitions": (["labels", "labels"], "float"),
            "mask": (["batch", "length"], "mask"),
        },
        {},
    ),
    "long_convolution": (
        {"inputs": (["batch", "labels", "length"], "float"), "filters": (["labels", "queries"], "float")},
        {"causal": [True, False]},
    ),
}


def _tensor(told: dict[str, Any], generator: torch.Generator) -> Any:
    shape, kind = told["shape"], told["kind"]
    if kind == "mask":
        made = torch.rand(shape, generator=generator) < 0.7
    elif kind in ("slots", "buckets", "labels"):
        most = {"slots": 20, "buckets": 8, "labels": 5}[kind]
        made = torch.randint(-1 if kind == "slots" else 0, most, shape, generator=generator)
        if kind == "slots" and len(shape) == 4 and shape[-1]:
            ranks = torch.rand(shape, generator=generator).argsort(-1)
            made = ranks.where(made >= 0, -1)
    else:
        made = torch.randn(shape, generator=generator)
    flat = made.reshape(-1)
    for _ in range(told["odd"] if flat.numel() else 0):
        place, value = (int(torch.randint(most, (1,), generator=generator)) for most in (flat.numel(), len(SLOTS)))
        flat[place] = bool(value % 2) if kind == "mask" else ODD[value] if made.is_floating_point() else SLOTS[value]
    made = flat.reshape(shape)
    if told["dtype"] is not None:
        made = made.to(getattr(torch, told["dtype"]))
    return (
        [made, made]
        if kind == "rotations" and told["odd"] == 1
        else [made]
        if kind == "rotations"
        else _laid_out(made, told["layout"])
    )


def _laid_out(made: Tensor, layout: str) -> Tensor:
    if layout == "strided" and made.dim():
        return torch.cat((made, made), -1)[..., : made.shape[-1]] if made.shape[-1] else made
    if layout == "expanded" and made.dim() and made.shape[0]:
        return made[:1].expand(made.shape)
    if layout == "transposed" and made.dim() >= 2:
        return made.transpose(-1, -2).contiguous().transpose(-1, -2)
    return made


def run(call: dict[str, Any]) -> None:
    """Make the tensors and call the op, forward and if asked backward."""
    generator = torch.Generator().manual_seed(call["seed"])
    tensors = {name: _tensor(told, generator) for name, told in call["tensors"].items()}
    options = dict(call["options"])
    if isinstance(options.get("transform"), list):
        name, count = options["transform"]
        heads = tensors["query"].shape[1] if tensors["query"].dim() > 1 else 1
        options["transform"] = getattr(ops, name)(torch.randn(heads, count, generator=generator))
    for tensor in tensors.values():
        if call["backward"] and isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.is_leaf:
            tensor.requires_grad_()
    torch.set_num_threads(call["threads"])
    op = long_convolution if call["op"] == "long_convolution" else getattr(ops, call["op"])
    result = op(**tensors, **options)
    results = result if isinstance(result, tuple | list) else (result,)
    for each in results:
        if call["backward"] and isinstance(each, Tensor) and each.requires_grad:
            each.double().sum().backward()
            break
