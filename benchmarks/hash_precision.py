"""`python -m benchmarks.hash_precision`: what bfloat16 does to hashed layers, and what float32 projections for the hash
cost: a training step under autocast with and without them, in turns."""

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks.contenders.language_models import VOCABULARY, million_model
from benchmarks.machine import describe
from reformer.models import ReformerConfig, ReformerModel
from reformer.nn import Attention, attention
from reformer.nn.replay import Replay

CASES = {
    "local": ("local", True),
    "lsh": ("lsh", True),
    "lsh, separate queries": ("lsh", False),
    "local+lsh": ("local+lsh", True),
    "local+lsh, separate queries": ("local+lsh", False),
}


@contextmanager
def rounded_hashes() -> Iterator[None]:
    """Let layers hash what they round, as if float32 projections made no difference."""
    with mock.patch.object(attention, "HALVES", ()):
        yield


def deviation(kind: str, shared: bool, seed: int = 0, length: int = 600) -> float:
    """The relative difference of a layer's output under bfloat16 autocast from that in float32."""
    torch.manual_seed(seed)
    config = ReformerConfig(
        vocab_size=50,
        hidden_size=128,
        num_attention_heads=4,
        attention_head_size=32,
        attention_layers=[kind],
        local_window=32,
        lsh_window=32,
        num_buckets=[4, 8],
        num_rounds=2,
        shared_query_key=shared,
        max_position_embeddings=length,
    )
    model = ReformerModel(config).eval()
    layer = next(module for module in model.modules() if isinstance(module, Attention))
    # As in a text, some vectors are near to each other.
    words = torch.randn(64, config.hidden_size)[torch.randint(64, (1, length))]
    hidden = torch.nn.functional.layer_norm(torch.randn(words.shape) + 2 * words, words.shape[-1:])
    tokens = model.tokens(None, hidden)
    with torch.no_grad():
        exact = layer(hidden, tokens, Replay())
        with torch.autocast("cpu", torch.bfloat16):
            return float((layer(hidden, tokens, Replay()).float() - exact).norm() / exact.norm())


STEPS = {
    "local and hashed layers in turns": {},
    "hashed layers alone": {"attention_layers": ["lsh"] * 6},
    "hashed layers alone, separate queries": {"attention_layers": ["lsh"] * 6, "shared_query_key": False},
}


def step_seconds(length: int, turns: int, changes: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Processor time of training steps with float32 projections for the hash, and of steps without, in turns."""
    torch.manual_seed(0)
    model = million_model(length, **changes).train()
    ids = torch.randint(1, VOCABULARY, (1, length))

    def step() -> float:
        start = time.process_time()
        with torch.autocast("cpu", torch.bfloat16):
            loss: Tensor = model(input_ids=ids, labels=ids).loss
        loss.backward()
        model.zero_grad()
        return time.process_time() - start

    exact: list[float] = []
    rounded: list[float] = []
    for turn in range(turns + 1):
        seconds = step()
        with rounded_hashes():
            other = step()
        if turn:
            exact.append(seconds)
            rounded.append(other)
    return exact, rounded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=int, default=4096)
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(describe(1, "cpu")["processor"])
    for name, (kind, shared) in CASES.items():
        exact = deviation(kind, shared)
        with rounded_hashes():
            print(f"{name}: deviation {exact:.2%}, hashing what is rounded {deviation(kind, shared):.2%}")
    for name, changes in STEPS.items():
        exact, rounded = step_seconds(options.length, options.turns, changes)
        ratio = statistics.median(one / other for one, other in zip(exact, rounded, strict=True))
        seconds = statistics.median(exact)
        print(
            f"{name}: a step of {options.length} tokens takes {seconds:.2f} s of one thread, {ratio:.3f} times as long"
        )


if __name__ == "__main__":
    main()
