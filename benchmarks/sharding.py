"""Training by a recipe in processes that each have a copy of the weights, or a shard: bytes in each, and the losses.

    OMP_NUM_THREADS=1 python -m benchmarks.sharding --processes 2 --save

takes `--steps` steps each way, as `reformer train` does it, through accelerate and transformers' Trainer, prints what a
process holds of weights, gradients and optimizer state and how far the losses are apart, and with `--save` writes it to
`benchmarks/results/sharding.json`.
"""

import argparse
import json
import os
import random
import socket
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as mp
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback, set_seed

from benchmarks import memory
from benchmarks.machine import describe
from benchmarks.results import FOLDER
from reformer.models.progress_bars import no_progress_bars
from reformer.recipe import Recipe
from reformer.tasks.recipe_checks import checked_recipe
from reformer.tasks.registry import TASKS
from reformer.training.initial_model import initial_model
from reformer.training.processes import connected
from reformer.training.setup import begin, build_trainer

CASES = {"copies": False, "shards": True}


def recipe_of(folder: Path, width: int, steps: int, fsdp: bool) -> Recipe:
    """A language model on made-up words: six reversible layers, local and hashed in turns."""
    pick = random.Random(0)
    words = ["".join(pick.choices("abcdefghij", k=pick.randint(2, 8))) for _ in range(200)]
    text = folder / "text.txt"
    text.write_text(" ".join(pick.choices(words, k=20_000)), encoding="utf-8")
    return checked_recipe(
        {
            "data": {"train": str(text), "sequence_length": 512, "eval_tokens": 1024},
            "tokenizer": {"kind": "byte"},
            "model": {
                "hidden_size": width,
                "num_attention_heads": width // 64,
                "attention_head_size": 64,
                "feed_forward_size": 4 * width,
                "attention_layers": ["local", "lsh"] * 3,
                "num_buckets": 16,
                "max_position_embeddings": 512,
                "hidden_dropout_prob": 0.0,
                "reversible": True,
            },
            "training": {
                "task": "language-modelling",
                "max_steps": steps,
                "learning_rate": 3e-4,
                "batch_size": 1,
                "num_evaluations": 1,
                "logging_steps": 1,
                "fsdp": fsdp,
                "device": "cpu",
                "precision": "float32",
            },
        }
    )


class Measure(TrainerCallback):
    """What this process holds when gradients are whole, and the loss of each step."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        self.losses: list[float] = []
        self.peak = 0

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        parameters = list(kwargs["model"].parameters())
        self.held["weights"] = _bytes(parameters)
        self.held["gradients"] = _bytes([each.grad for each in parameters if each.grad is not None])

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        states = kwargs["optimizer"].state.values()
        self.held["optimizer"] = _bytes([each for found in states for each in found.values()])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # Before the checkpoint is written.
        self.peak = memory.peak() or 0

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" in logs:
            self.losses.append(logs["loss"])


def _bytes(tensors: list[torch.Tensor]) -> int:
    return sum((each.to_local() if isinstance(each, DTensor) else each).nbytes for each in tensors)


def trained(rank: int, processes: int, port: int, folder: str, width: int, steps: int, fsdp: bool) -> None:
    """A run in one of the processes; what it held goes into a file."""
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in (told | {"OMP_NUM_THREADS": 1}).items()})
    torch.set_num_threads(1)
    place = Path(folder, f"{rank}")
    place.mkdir()
    recipe = recipe_of(place, width, steps, fsdp)
    with connected(recipe, place), no_progress_bars():
        recipe, _, arguments = begin(recipe, Path(folder, "run"), resume=False, overwrite=False)
        task = TASKS[recipe.training.task]
        data = task.load_data(recipe)
        set_seed(recipe.training.seed)
        model, _ = initial_model(task, data, recipe, None)
        bare = memory.resident() or 0
        trainer = build_trainer(recipe, arguments, model, data, Path(folder, "run"))
        measure = Measure()
        trainer.add_callback(measure)
        memory.forget_peak()
        with warnings.catch_warnings():
            # As in a run: nothing is added in place to what a sub-layer returns.
            warnings.filterwarnings("ignore", ".*returned a view tensor", UserWarning)
            trainer.train()
    found = {"bare_bytes": bare, "peak_bytes": measure.peak, "peak_with_checkpoint_bytes": memory.peak() or 0}
    (place / "found.json").write_text(json.dumps({"held": measure.held, **found, "losses": measure.losses}))


def measured(processes: int, width: int, steps: int, fsdp: bool) -> list[dict[str, Any]]:
    """What each of so many processes, which begin anew, has held."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        mp.spawn(trained, (processes, port, folder, width, steps, fsdp), nprocs=processes)  # pyright: ignore
        return [json.loads(Path(folder, f"{rank}/found.json").read_text()) for rank in range(processes)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--width", type=int, default=512, help="hidden size, of heads of 64")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/sharding.json")
    options = parser.parse_args()
    rows = {name: measured(options.processes, options.width, options.steps, fsdp) for name, fsdp in CASES.items()}
    for kind in ("weights", "gradients", "optimizer"):
        most = {name: max(each["held"][kind] for each in found) for name, found in rows.items()}
        share = most["shards"] / most["copies"]
        print(
            f"{kind}: {most['copies'] / 1e6:.1f} MB in each, sharded at most {most['shards'] / 1e6:.1f} ({share:.3f})"
        )
    for name, found in rows.items():
        most = max(found, key=lambda each: each["peak_bytes"])
        print(
            f"{name}: at most {most['peak_bytes'] / 1e6:.0f} MB in a process in the steps, "
            f"{most['peak_with_checkpoint_bytes'] / 1e6:.0f} with the checkpoint, "
            f"{most['bare_bytes'] / 1e6:.0f} at first"
        )
    pairs = zip(rows["copies"][0]["losses"], rows["shards"][0]["losses"], strict=True)
    apart = max(abs(one - other) for one, other in pairs)
    print(f"losses of {options.steps} steps: {apart:.1e} apart at most")
    if options.save:
        shape = {"processes": options.processes, "width": options.width, "steps": options.steps}
        told = {**shape, "machine": describe(1, "cpu"), "rows": rows}
        (FOLDER / "sharding.json").write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
