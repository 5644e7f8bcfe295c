"""A training step on one long row that several processes hold: peak memory of each, seconds, and bytes sent.

    python -m benchmarks.parallel --tokens 262144 --processes 1 2 4

prints a line for each number of processes, with the peak of the process that held most and its ratio to that of one
process, and writes what was measured to `benchmarks/results/parallel-TOKENS.json` with `--save`.
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from benchmarks import memory
from benchmarks.contenders.language_models import LAYERS, VOCABULARY, million_model
from benchmarks.machine import describe
from benchmarks.results import FOLDER
from reformer.parallel import parallelize, shard_sequence, sum_gradients


@dataclass(frozen=True)
class Step:
    """What a training step took of one process."""

    before_bytes: int
    """In memory with the model and its optimizer's state, before the step."""
    peak_bytes: int
    seconds: float
    loss: float
    sent: dict[str, int]


def measured_step(process: int, processes: int, meeting: str, tokens: int, results: str, layers: int) -> None:
    """Take two steps in one of the processes, the first one to have the optimizer's state, and measure the second."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=process, world_size=processes)
    torch.manual_seed(0)
    model = million_model(tokens, attention_layers=(["local", "lsh"] * layers)[:layers]).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    group = parallelize(model, dist.group.WORLD)

    def step(length: int) -> float:
        ids = torch.randint(1, VOCABULARY, (1, length), generator=torch.Generator().manual_seed(length))
        part = shard_sequence({"input_ids": ids, "labels": ids}, group)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(**part).loss
        loss.backward()
        sum_gradients(model, group)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    step(min(tokens, 1024))
    group.sent.clear()
    memory.forget_peak()
    before = memory.resident() or 0
    dist.barrier()
    began = time.perf_counter()
    loss = step(tokens)
    seconds = time.perf_counter() - began
    found = Step(before, memory.peak() or 0, seconds, loss, dict(group.sent))
    Path(results, f"{process}.json").write_text(json.dumps(asdict(found)))
    dist.destroy_process_group()


def steps(processes: int, tokens: int, layers: int = LAYERS) -> list[Step]:
    """A step of so many processes, each of which begins anew."""
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(measured_step, (processes, f"{folder}/meeting", tokens, folder, layers), nprocs=processes)  # pyright: ignore
        return [Step(**json.loads(Path(folder, f"{number}.json").read_text())) for number in range(processes)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=16384)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/parallel-TOKENS.json")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for processes in options.processes:
        found = steps(processes, options.tokens, options.layers)
        most = max(found, key=lambda step: step.peak_bytes)
        rows.append({"processes": processes, "steps": [asdict(step) for step in found]})
        first = max(step["peak_bytes"] for step in rows[0]["steps"])
        sent = statistics.mean(sum(step.sent.values()) for step in found)
        print(
            f"{options.tokens} tokens, {processes} processes: at most {most.peak_bytes / 1e9:.2f} GB in one "
            f"({most.peak_bytes / first:.2f} of {rows[0]['processes']} processes' most), "
            f"{most.before_bytes / 1e9:.2f} GB of them before the step; {most.seconds:.1f} s; "
            f"{sent / 1e6:.1f} MB sent by each; loss {most.loss:.5f}",
            flush=True,
        )
        for name in sorted({name for step in found for name in step.sent}):
            print(f"  {name}: {', '.join(f'{step.sent.get(name, 0) / 1e6:.2f}' for step in found)} MB")
    if options.save:
        told = {"tokens": options.tokens, "layers": options.layers, "machine": describe(1, "cpu"), "rows": rows}
        (FOLDER / f"parallel-{options.tokens}.json").write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
