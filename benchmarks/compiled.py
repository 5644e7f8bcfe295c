"""`python -m benchmarks.compiled`: training steps under `torch.compile` beside the same steps without it, in turns, at
several lengths; how many graphs serve them, and what compiling takes."""

import argparse
import statistics
import time

import torch
from torch import Tensor
from torch._dynamo.utils import counters

from benchmarks.contenders.language_models import VOCABULARY, million_model
from benchmarks.machine import describe


def measure(kind: str, options: argparse.Namespace) -> None:
    """Print what the steps of one kind of attention take."""
    torch._dynamo.reset()
    counters.clear()
    torch.manual_seed(0)
    model = million_model(max(options.lengths), attention_layers=[kind] * options.layers).train()

    def loss(ids: Tensor) -> Tensor:
        return model(input_ids=ids, labels=ids, use_cache=False).loss

    compiled = torch.compile(loss, dynamic=True, fullgraph=True)
    manners = {"eager": loss, "compiled": compiled}

    def step(manner: str, ids: Tensor) -> float:
        # The rotations of a step are drawn from it: both manners compute the same.
        torch.manual_seed(ids.shape[1])
        begin = time.perf_counter()
        manners[manner](ids).backward()
        seconds = time.perf_counter() - begin
        model.zero_grad(set_to_none=True)
        return seconds

    begin = time.perf_counter()
    for length in options.lengths[:2]:
        step("compiled", torch.randint(VOCABULARY, (1, length)))
    print(f"{kind}: compiled within the first two steps, {time.perf_counter() - begin:.0f} s", flush=True)
    for length in options.lengths:
        ids = torch.randint(VOCABULARY, (1, length))
        taken: dict[str, list[float]] = {name: [] for name in manners}
        for turn in range(options.turns + 1):
            for name in manners:
                seconds = step(name, ids)
                # The first of a length fills caches.
                if turn:
                    taken[name].append(seconds)
        ratios = sorted(one / other for one, other in zip(taken["eager"], taken["compiled"], strict=True))
        print(
            f"{kind}, {length} tokens: eager {statistics.median(taken['eager']):.3f} s, compiled "
            f"{statistics.median(taken['compiled']):.3f} s; {statistics.median(ratios):.2f} times as fast "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})",
            flush=True,
        )
    print(f"{kind}: {counters['stats']['unique_graphs']} graph(s) for {len(options.lengths)} lengths", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", default=["local", "lsh", "local+lsh"])
    parser.add_argument("--lengths", nargs="+", type=int, default=[500, 1000, 2000, 4000, 8000])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(describe(options.threads, "cpu")["processor"], flush=True)
    print(f"{options.layers} reversible layers, batch 1, {options.threads} thread(s), float32")
    for kind in options.kinds:
        measure(kind, options)


if __name__ == "__main__":
    main()
