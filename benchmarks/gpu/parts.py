"""The parts of a run on a card, each of which goes on where an earlier call has stopped."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from benchmarks.gpu import contract, registry
from benchmarks.gpu.guard import LIMIT, NO_MEMORY, Guard
from benchmarks.machine import ROOT
from benchmarks.table import duration, short

PARTS = ("check", "tune", "op", "train", "stream")

CHECKED_LENGTH = 700
"""Several tiles of every size, and a last one that is not full."""

TUNED_LENGTH = 1 << 16

STATE = ROOT / "build" / "benchmarks" / "gpu-stream.safetensors"
"""Where a stream is left between calls."""


class Results(Protocol):
    """Where measurements go."""

    result: dict[str, Any]

    def add(self, part: str, record: dict[str, Any]) -> None: ...

    def has(self, part: str, **fields: Any) -> bool: ...

    def write(self) -> None: ...


@dataclass
class Effort:
    """How long things may take.

    Args:
        limit: seconds for one measurement.
        ends: by `time.monotonic()`, when nothing more is begun.
    """

    limit: float
    ends: float = float("inf")

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.ends


def check(file: Results, effort: Effort, device: str = "cuda", length: int = CHECKED_LENGTH) -> Iterator[str]:
    """The contract; what does not hold has `"holds": False`. Never cut short: nothing is measured without it."""
    for dtype, call in _contract(device, length):
        name = _name(dtype)
        if file.has("check", call=str(call), dtype=name, holds=True):
            continue
        record: dict[str, Any] = {"call": str(call), "dtype": name, "bound": contract.BOUNDS[dtype]}
        try:
            found = contract.error(call, dtype, device)
            record |= {"error": found, "holds": found < contract.BOUNDS[dtype]}
            told = f"{found:.1e}"
        except Exception as error:
            # A kernel that does not compile on this card is what this part is to find.
            record |= {"failed": f"{type(error).__name__}: {error}"[:2000], "holds": False}
            told = record["failed"].splitlines()[0]
        file.add("check", record)
        yield f"check: {'holds' if record['holds'] else 'BROKEN'}: {name}, {call}: {told}"


def broken(file: Results, device: str = "cuda", length: int = CHECKED_LENGTH) -> list[str]:
    """What did not hold when it was checked last, or was not checked."""
    last = {(record["dtype"], record["call"]): record["holds"] for record in file.result["check"]}
    wanted = [(_name(dtype), str(call)) for dtype, call in _contract(device, length)]
    return [", ".join(each) for each in wanted if not last.get(each, False)]


def _contract(device: str, length: int) -> Iterator[tuple[torch.dtype, contract.Call]]:
    """Everything on a card; in the interpreter, which is slow and exact, float32 and narrow heads."""
    for dtype in contract.BOUNDS if device == "cuda" else [torch.float32]:
        for call in contract.calls(length, 64 if device == "cuda" else 16):
            yield dtype, call


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def tune(file: Results, effort: Effort) -> Iterator[str]:
    """The tilings of what `op` measures, found among a few candidates and kept in `REFORMER_TRITON_TILES`."""
    from benchmarks.contenders.ours import Hashed
    from benchmarks.gpu.contenders import DTYPE, HEADS
    from benchmarks.gpu.timing import measure
    from reformer.ops.window_attention import triton_tiles as tiling

    torch.set_default_device("cuda")
    hashed = Hashed(TUNED_LENGTH, HEADS, 1, "triton", DTYPE)
    grad = torch.randn_like(hashed.leaves[0])

    def both() -> None:
        torch.autograd.grad(hashed.core(*hashed.leaves), hashed.leaves, grad)

    def ahead() -> None:
        with torch.no_grad():
            hashed.core(*hashed.leaves)

    query = hashed.split(hashed.leaves[0])
    for kernel in ("forward", "backward_queries", "backward_keys"):
        if effort.over or file.has("tune", kernel=kernel):
            continue
        tried: list[dict[str, Any]] = []

        def seconds(kernel: str = kernel, tried: list[dict[str, Any]] = tried) -> float:
            now = tiling.tiling(kernel, query, 64)
            taken = measure(ahead if kernel == "forward" else both, turns=3)["median_seconds"]
            tried.append({**now.arguments(), "seconds": taken})
            return taken

        try:
            best = tiling.tune(kernel, query, 64, seconds)
        except Exception as error:
            # The default serves; what went wrong must not cost the measurements after it.
            file.add("tune", {"kernel": kernel, "failed": f"{type(error).__name__}: {error}"[:2000], "tried": tried})
            yield f"tune: {kernel}: FAILED, the default stays: {type(error).__name__}"
            continue
        record = {"kernel": kernel, "length": TUNED_LENGTH, "window": 64, "chosen": best.arguments(), "tried": tried}
        file.add("tune", record)
        yield f"tune: {kernel}: {best.arguments()}, the best of {len(tried)}"
    torch.set_default_device("cpu")


def op(file: Results, effort: Effort, device: str = "cuda", lengths: list[int] | None = None) -> Iterator[str]:
    """One attention: ours and the others, each in a process of its own."""
    yield from _measure("rows", registry.op(), file, effort, device, lengths)


def train(file: Results, effort: Effort, device: str = "cuda", lengths: list[int] | None = None) -> Iterator[str]:
    """Training steps on very long sequences."""
    yield from _measure("train", registry.train(), file, effort, device, lengths)


def _measure(
    part: str,
    everybody: list[registry.Measured],
    file: Results,
    effort: Effort,
    device: str,
    lengths: list[int] | None,
) -> Iterator[str]:
    for each in everybody:
        name, guard = each.contender.name, Guard(each.contender.name, device, effort.limit)
        wanted = [
            (length, action)
            for length in lengths or each.lengths
            for action in each.actions
            if not file.has(part, contender=name, length=length, action=action)
        ]
        try:
            if wanted and not effort.over and name not in file.result["contracts"]:
                seen = guard.check()
                if "error" in seen:
                    yield f"{name}: contract not kept, not measured: {seen['error']}"
                    file.result["contracts"][name] = seen
                else:
                    file.result["contracts"][name] = seen["seen"]
                file.write()
            if isinstance(file.result["contracts"].get(name), dict):
                continue
            for length, action in wanted:
                if effort.over:
                    yield f"{name}: the time is over before {short(length)}, {action}; call again to go on"
                    break
                row = _row(part, each, length, action, guard, file)
                file.add(part, row)
                told = row.get("error") or row.get("skipped") or duration(row["median_seconds"])
                yield f"{short(length):>5} {action:22} {name:30} {told}"
        finally:
            guard.close()


def _row(part: str, each: registry.Measured, length: int, action: str, guard: Guard, file: Results) -> dict[str, Any]:
    """A measurement, or why there is none: what was too much at one length is not tried at a greater one."""
    common = {
        "contender": each.contender.name, "family": each.contender.family, **each.contender.options,
        "length": length, "action": action,
    }  # fmt: skip
    for row in file.result[part]:
        too_much = row.get("error", "").startswith((LIMIT, NO_MEMORY))
        if too_much and (row["contender"], row["action"]) == (each.contender.name, action) and row["length"] < length:
            return common | {"skipped": f"{row['error']} at {short(row['length'])}"}
    found = guard.measure(length, action)
    if "error" not in found:
        found |= {"warm": True, "turns": len(found["seconds"])}
    return common | found


def stream(
    file: Results,
    effort: Effort,
    device: str = "cuda",
    tokens: int = 10**9,
    piece: int = 1 << 20,
    state: Path = STATE,
) -> Iterator[str]:
    """A stream of random bytes through a small model, left on disk when the time is over and taken up again."""
    from safetensors.torch import load_file, save_file

    from benchmarks.contenders.streaming import small_model

    records = file.result["stream"]
    if not records:
        records.append({"tokens": tokens, "piece": piece, "read": 0, "seconds": 0.0, "calls": 0})
    record = records[0]
    if record["read"] >= tokens:
        return
    stream = small_model().to(device).stream()
    if record["read"]:
        stream.restore({name: tensor.to(device) for name, tensor in load_file(state).items()})
    generator = torch.Generator(device).manual_seed(record["read"])
    begun, before = time.perf_counter(), record["seconds"]
    while record["read"] < tokens and not effort.over:
        size = min(piece, tokens - record["read"])
        stream(torch.randint(0, 256, (1, size), generator=generator, device=device), logits_to_keep=1)
        if device == "cuda":
            torch.cuda.synchronize()
        record["read"] += size
        record["seconds"] = before + time.perf_counter() - begun
    record |= {"calls": record["calls"] + 1, "state_bytes": stream.cache.nbytes}
    if device == "cuda":
        record["peak_bytes"] = torch.cuda.max_memory_allocated()
    state.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous().cpu() for name, tensor in stream.state().items()}, state)
    file.write()
    rate = record["read"] / max(record["seconds"], 1e-9)
    yield (
        f"stream: {record['read']:,} of {tokens:,} tokens in {duration(record['seconds'])}, {rate:,.0f} a second, "
        f"a state of {record['state_bytes']:,} bytes"
    )


def keep_tiles(path: Path) -> None:
    """Where tilings are kept, for this process and the ones it starts, unless a file was named already."""
    from reformer.ops.window_attention import triton_tiles as tiling

    os.environ.setdefault(tiling.FILE, str(path))
