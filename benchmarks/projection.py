"""Memory of, and bytes sent by, a training step on a row divided between many processes: on paper, from measured ones.

    python -m benchmarks.projection --tokens 100000000 --processes 64 --heads 64 --head-dim 16

What a process sends follows from equations (55) to (57) of `docs/math.md`, which `benchmarks.parallel` has measured to
the byte. Its memory is what `benchmarks/results/parallel-*.json` has for a token, times the width.
"""

import argparse
import json
from dataclasses import dataclass

from benchmarks.contenders.language_models import LAYERS, ROUNDS, SHAPE
from benchmarks.results import FOLDER

LINKS = {
    "NVLink 4 (450 GB/s a direction)": 450e9,
    "InfiniBand NDR (400 Gb/s)": 50e9,
    "Ethernet (100 Gb/s)": 12.5e9,
    "Ethernet (10 Gb/s)": 1.25e9,
}
"""Bytes a second that one process can send over each, by its maker's figure."""
BYTES = 2
"""Of a number in bfloat16, and of a slot that is sent."""


@dataclass(frozen=True)
class Row:
    """A row of so many tokens, divided between so many processes.

    Args:
        layers: half of them local, which send to neighbours, half of them hashed, by shared queries and keys.
    """

    tokens: int
    processes: int
    heads: int
    head_dim: int
    layers: int = LAYERS
    rounds: int = ROUNDS

    @property
    def sent_to_heads(self) -> float:
        """Bytes that a process sends in a step for whole rows of its heads (55): vectors forward, forward again where
        the reversible layer is run again, and backward; slots once."""
        away = self.tokens / self.processes * (self.processes - 1) / self.processes
        vectors = 3 * away * 3 * self.heads * self.head_dim
        slots = away * self.rounds * self.heads
        return BYTES * (vectors + slots) * (self.layers // 2)

    def seconds(self, speed: float) -> float:
        """To send that at so many bytes a second, nothing else being done meanwhile."""
        return self.sent_to_heads / speed


def memory_of_a_token() -> tuple[float, float]:
    """Bytes over the model's own for each token that a process holds, in the measured runs: the least and the most of
    those of two processes and more."""
    found: list[float] = []
    for file in FOLDER.glob("parallel-*.json"):
        told = json.loads(file.read_text())
        for row in told["rows"]:
            if row["processes"] > 1:
                own = told["tokens"] / row["processes"]
                found += [(step["peak_bytes"] - step["before_bytes"]) / own for step in row["steps"]]
    return min(found), max(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=100_000_000)
    parser.add_argument("--processes", type=int, default=64)
    parser.add_argument("--heads", type=int, default=64)
    parser.add_argument("--head-dim", type=int, default=16)
    options = parser.parse_args()
    row = Row(options.tokens, options.processes, options.heads, options.head_dim)
    wider = options.heads * options.head_dim / SHAPE["hidden_size"]
    own = options.tokens / options.processes
    least, most = (value * wider * own / 1e9 for value in memory_of_a_token())
    print(f"{options.tokens:,} tokens, {options.processes} processes: {own:,.0f} tokens in each, width {wider:g} times")
    print(f"memory of a step, over the model's own: {least:.0f} to {most:.0f} GB a process")
    print(f"sent by each in a step, for hashed layers: {row.sent_to_heads / 1e9:.1f} GB")
    for link, speed in LINKS.items():
        print(f"  {link}: {row.seconds(speed):.2f} s")


if __name__ == "__main__":
    main()
