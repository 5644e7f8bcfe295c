"""Streams through a small language model: speed, memory, and the difference that pieces make."""

import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import memory
from benchmarks.case import Action, Contender, ContractError
from benchmarks.learning import SAY_SECONDS, causal_lm

PIECE = 1 << 14
WHOLE = 1 << 16
"""The length at which a stream is compared with one pass."""

CHECK_LENGTH = 2000
TOLERANCE = 1e-4


def small_model() -> Any:
    """Two layers of 32, a local and a hashed one; its positions are a table of three sides that reaches 10^9."""
    torch.manual_seed(0)
    return causal_lm(
        vocab_size=256,
        hidden_size=32,
        num_attention_heads=2,
        attention_head_size=16,
        feed_forward_size=64,
        hidden_act="relu",
        attention_layers=["local", "lsh"],
        local_window=16,
        lsh_window=16,
        num_buckets=16,
        num_rounds=1,
        position_embedding_type="axial",
        axial_pos_shape=[1000, 1000, 1000],
        axial_pos_embds_dim=[8, 8, 16],
        max_position_embeddings=10**9,
    ).eval()


def reading(name: str, piece: int = PIECE, kept: Path | None = None) -> Contender:
    """Reads so many random bytes in pieces, with the logits of the last byte.

    Args:
        kept: a file that an interrupted reading is gone on from.
    """

    def build(length: int) -> dict[str, Action]:
        model = small_model()
        return {"read": Action(lambda _: read(model.stream(), length, piece, kept))}

    return Contender(name, "ours", build, _check, {"dtype": "float32", "piece": piece})


def read(stream: Any, length: int, piece: int = PIECE, kept: Path | None = None) -> dict[str, float | int]:
    """Feed a stream with random bytes, and say now and then how far it is."""
    done, before = (0, 0.0) if kept is None else _restored(stream, kept)
    begun = said = time.perf_counter()
    while done < length:
        size = min(piece, length - done)
        stream(torch.randint(0, 256, (1, size)), logits_to_keep=1)
        memory.wait()
        done += size
        now = time.perf_counter()
        if now - said > SAY_SECONDS:
            said, seconds = now, before + now - begun
            rate = done / seconds
            left = (length - done) / rate / 60
            print(f"  read {done:,} of {length:,} tokens, {rate:,.0f} a second, {left:.1f} minutes to go", flush=True)
            if kept is not None:
                _keep(stream, kept, done, seconds)
    if kept is not None:
        kept.unlink(missing_ok=True)
    seconds = before + time.perf_counter() - begun
    facts = {"state_bytes": stream.cache.nbytes, "process_bytes": memory.peak() or 0, "tokens": length}
    return facts | {"reading_seconds": seconds}


def _keep(stream: Any, path: Path, done: int, seconds: float) -> None:
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.contiguous().cpu() for name, tensor in stream.state().items()}
    save_file(state, path.with_suffix(".new"), {"read": str(done), "seconds": str(seconds)})
    path.with_suffix(".new").replace(path)


def _restored(stream: Any, path: Path) -> tuple[int, float]:
    """The tokens that an interrupted reading has read, and its seconds; the stream goes on from there."""
    from safetensors import safe_open

    if not path.exists():
        return 0, 0.0
    with safe_open(path, "pt", device=str(torch.get_default_device())) as file:
        stream.restore({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        told = file.metadata()
    return int(told["read"]), float(told["seconds"])


def pieced(name: str) -> Contender:
    """64k tokens read in pieces, beside one pass over them; the size is that of the pieces."""

    def build(piece: int) -> dict[str, Action]:
        model = small_model()
        return {"compare": Action(lambda _: compare(model, WHOLE, piece))}

    return Contender(name, "ours", build, _check, {"dtype": "float32"})


def compare(model: Any, length: int, piece: int) -> dict[str, float | int]:
    """The greatest difference between the logits of both, and at how many tokens it is above the tolerance."""
    generator = torch.Generator("cpu").manual_seed(0)
    ids = torch.randint(0, 256, (1, length), generator=generator, device="cpu").to(model.device)
    with torch.no_grad():
        whole = model(input_ids=ids).logits
    stream = model.stream()
    differences = [
        (stream(part).logits - expected).abs().amax((0, 2))
        for part, expected in zip(ids.split(piece, dim=1), whole.split(piece, dim=1), strict=True)
    ]
    found = torch.cat(differences)
    return {"difference": float(found.max()), "above": int((found > TOLERANCE).sum()), "tokens": length}


def _check() -> str:
    """The same numbers as in one pass, and a state that does not grow."""
    model = small_model()
    differences = {piece: compare(model, CHECK_LENGTH, piece)["difference"] for piece in (1, 7, 1000)}
    greatest = max(differences.values())
    if greatest > TOLERANCE:
        raise ContractError(f"pieces differ from one pass by {differences}, at most {TOLERANCE:.0e} is allowed")
    stream = model.stream()
    states = {read(stream, length)["state_bytes"] for length in (10, 1000, PIECE + 1)}
    if len(states) > 1:
        raise ContractError(f"the state grows: {sorted(states)} bytes")
    return f"pieces of 1, 7 and 1000 differ from one pass by {greatest:.1e}; a state of {states.pop():,} bytes"
