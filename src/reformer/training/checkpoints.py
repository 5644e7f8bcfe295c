"""Checkpoints that appear whole or not at all, with digests by which later damage is found."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json
from safetensors import SafetensorError, safe_open
from transformers.trainer_pt_utils import safe_globals

from reformer.files import sync, write
from reformer.wording import counted

DIGESTS = "digests.json"
"""The file of a checkpoint with size and SHA-256 of all others, written when they are whole."""
UNFINISHED_CHECKPOINT = ".unfinished"
"""The folder beside the checkpoints in which one is written."""
_SKIPPED = "skipped-"
_PREFIX = "checkpoint-"
_STATE = "trainer_state.json"
SHARDS = "shard-*.safetensors"
"""Weights and optimizer state of a run that shards them, a file a process, as PyTorch names them."""
_WHOLE = ("model*.safetensors", "optimizer.pt")
_NEEDED = ("scheduler.pt", "rng_state*.pth", _STATE)


class _FileDigest(BaseModel, frozen=True, strict=True):
    """Size in bytes and SHA-256 of a file."""

    size: int
    sha256: str


class _State(BaseModel):
    """What is read of Trainer's state."""

    best_global_step: int | None = None


_DIGESTS_OF_FILES = TypeAdapter(dict[str, _FileDigest])


def checkpoint_name(step: int) -> str:
    """The name of the folder of a step's checkpoint, as Trainer gives it."""
    return f"{_PREFIX}{step}"


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints in the folder, the newest first."""
    found = [path for path in folder.glob(f"{_PREFIX}*") if path.name.removeprefix(_PREFIX).isdecimal()]
    return sorted(found, key=_step, reverse=True)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish(fresh: Path, folder: Path) -> Path:
    """Move a written checkpoint, with its digests, into the folder under its own name, in one step; returns it there.

    After a kill or a power failure the folder has the whole checkpoint or nothing of it.
    """
    files = sorted(path for path in fresh.iterdir() if path.name != DIGESTS)
    digests = {path.name: {"size": path.stat().st_size, "sha256": file_digest(path)} for path in files}
    for path in files:
        sync(path)
    write(fresh / DIGESTS, (json.dumps(digests, indent=2) + "\n").encode())
    place = folder / fresh.name
    if place.exists():
        # A folder that is not empty cannot be replaced by a rename.
        os.replace(place, fresh.parent / f"replaced-{fresh.name}")
    os.replace(fresh, place)
    sync(folder)
    # Its own name, too: Trainer has made it.
    sync(folder.parent)
    return place


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed run has left of the checkpoint that it was writing or removing."""
    if (folder / UNFINISHED_CHECKPOINT).exists():
        shutil.rmtree(folder / UNFINISHED_CHECKPOINT)


def keep_newest_and_best(folder: Path, best: str | None) -> None:
    """Remove all checkpoints but the two newest, of which one gives way to the best if that is older."""
    checkpoints = checkpoints_in(folder)
    kept = {checkpoints[0].name, Path(best).name if best is not None else checkpoints[0].name}
    for checkpoint in checkpoints[1:]:
        if len(kept) < 2:
            kept.add(checkpoint.name)
        if checkpoint.name not in kept:
            # Aside first: a kill in the middle would leave a part of it under a checkpoint's name.
            (folder / UNFINISHED_CHECKPOINT).mkdir(exist_ok=True)
            os.replace(checkpoint, folder / UNFINISHED_CHECKPOINT / checkpoint.name)
    remove_unfinished(folder)


def set_aside(checkpoint: Path) -> None:
    """Rename a damaged checkpoint, so that it counts no more as the newest; its files stay for whoever wants them."""
    place = checkpoint.with_name(f"{_SKIPPED}{checkpoint.name}")
    number = 1
    while place.exists():
        number += 1
        place = checkpoint.with_name(f"{_SKIPPED}{checkpoint.name}-{number}")
    os.replace(checkpoint, place)


def newest_whole(folder: Path) -> tuple[Path | None, dict[Path, str]]:
    """The newest checkpoint in the folder that is whole, and why each newer one is not.

    A checkpoint is whole if its files are, and those of the best one before it, which the run would end with.
    """
    faults: dict[Path, str | None] = {}
    skipped: dict[Path, str] = {}
    for checkpoint in checkpoints_in(folder):
        reason = faults[checkpoint] = _fault(checkpoint)
        best = None
        if reason is None:
            try:
                best = best_checkpoint(folder, _best_step(checkpoint))
            except ValueError:
                reason = f"{_STATE} is damaged"
        if best is not None and Path(best) != checkpoint:
            if Path(best) not in faults:
                faults[Path(best)] = _fault(Path(best))
            if faults[Path(best)] is not None:
                reason = f"the best one before it, {Path(best).name}: {faults[Path(best)]}"
        if reason is None:
            return checkpoint, skipped
        skipped[checkpoint] = reason
    return None, skipped


def best_checkpoint(folder: Path, step: int | None) -> str | None:
    """The checkpoint of the best evaluation, at that step, as Trainer's state names it."""
    return str(folder / checkpoint_name(step)) if step is not None else None


def _fault(checkpoint: Path) -> str | None:
    """Why a checkpoint is not whole; None if it is."""
    try:
        weights = (SHARDS,) if any(checkpoint.glob(SHARDS)) else _WHOLE
        missing = [needed for needed in (*weights, *_NEEDED) if not any(checkpoint.glob(needed))]
        if missing:
            return f"{', '.join(missing)} missing"
        digests = checkpoint / DIGESTS
        faults = _compared(checkpoint, digests.read_bytes()) if digests.is_file() else _loaded(checkpoint)
        return next(faults, None)
    except OSError as error:
        return f"{Path(error.filename or checkpoint).name} cannot be read ({error.strerror or error})"


def _compared(checkpoint: Path, written: bytes) -> Iterator[str]:
    """The files of a checkpoint that are not as they were written."""
    try:
        digests = _DIGESTS_OF_FILES.validate_json(written)
    except ValidationError:
        yield f"{DIGESTS} is damaged"
        return
    for name, expected in digests.items():
        file = checkpoint / name
        if not file.is_file():
            yield f"{name} missing"
        elif file.stat().st_size != expected.size:
            yield f"{name} has {counted(file.stat().st_size, 'byte')} of {expected.size:,}"
        elif file_digest(file) != expected.sha256:
            yield f"{name} is damaged"


def _loaded(checkpoint: Path) -> Iterator[str]:
    """The files of a checkpoint without digests, as earlier versions wrote it, that cannot be loaded."""
    for file in sorted(checkpoint.iterdir()):
        try:
            if file.suffix == ".json":
                from_json(file.read_bytes())
            elif file.suffix == ".safetensors":
                with safe_open(file, "pt") as tensors:
                    for name in tensors.keys():  # noqa: SIM118
                        tensors.get_tensor(name)
            elif file.suffix in (".pt", ".pth"):
                with safe_globals():
                    torch.load(file, map_location="cpu", weights_only=True)
        except (SafetensorError, ValueError):
            yield f"{file.name} is damaged"
        except OSError:
            raise
        except Exception:
            # Of a damaged file torch.load raises anything: of the archive, of the pickle, of what it finds in it.
            yield f"{file.name} is damaged"


def _best_step(checkpoint: Path) -> int | None:
    """Raises a `ValueError` for a damaged file."""
    return _State.model_validate_json((checkpoint / _STATE).read_bytes()).best_global_step


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(_PREFIX))
