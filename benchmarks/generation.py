"""`python -m benchmarks.generation`: tokens written by transformers' `generate` with its defaults, with a cache that is
named, and without any, in turns."""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.contenders.language_models import VOCABULARY, million_model
from benchmarks.machine import describe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompt", type=int, default=1500)
    parser.add_argument("--written", type=int, default=40)
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = million_model(options.prompt + options.written).eval()
    ids = torch.randint(1, VOCABULARY, (1, options.prompt))
    manners: dict[str, Callable[[], dict[str, Any]]] = {
        "defaults": dict,
        "use_cache=True": lambda: {"use_cache": True},
        "a cache that is given": lambda: {"past_key_values": model.base_model.new_cache()},
        "use_cache=False": lambda: {"use_cache": False},
    }
    seconds: dict[str, list[float]] = {name: [] for name in manners}
    texts = set()
    for turn in range(options.turns + 1):
        for name, given in manners.items():
            start = time.process_time()
            found = model.generate(
                input_ids=ids, max_new_tokens=options.written, do_sample=False, eos_token_id=None, **given()
            )
            if turn:
                seconds[name].append(time.process_time() - start)
            texts.add(tuple(found[0].tolist()))
    print(describe(1, "cpu")["processor"])
    print(f"{options.written} tokens after {options.prompt}, seconds of one thread, medians of {options.turns} turns")
    for name, each in seconds.items():
        ratio = statistics.median(own / first for own, first in zip(each, seconds["defaults"], strict=True))
        print(f"{name}: {statistics.median(each):.2f}, {ratio:.2f} times the defaults")
    print(f"all wrote the same: {len(texts) == 1}")


if __name__ == "__main__":
    main()
