"""Operations and bytes a token of the Triton kernels, counted from how they walk.

`python -m benchmarks.gpu.counting` prints the table of `docs/math.md`; `python -m benchmarks.report` writes it there.
"""

from dataclasses import dataclass

from benchmarks.markdown import grid

BANDWIDTH, DENSE_BFLOAT16 = 4.8e12, 989e12
"""Bytes and bfloat16 operations a second: the public figures of an H200-class card."""

INDEX, STRETCH, SUM = 4, 8, 4
"""Bytes of a token's place in a row, of the stretch it sees, and of one float32 number of a query."""


@dataclass(frozen=True)
class Work:
    """Of a token, all heads."""

    operations: int = 0
    once: int = 0
    """Bytes, if every row that a kernel needs came from memory once."""
    asked: int = 0
    """Bytes, as the tiles ask for them: rows that two tiles need count twice."""

    def __add__(self, other: "Work") -> "Work":
        return Work(self.operations + other.operations, self.once + other.once, self.asked + other.asked)

    def __mul__(self, count: int) -> "Work":
        return Work(self.operations * count, self.once * count, self.asked * count)


@dataclass(frozen=True)
class Shape:
    """A call: causal, shared queries and keys, a window that whole tiles fit into."""

    heads: int = 8
    head_dim: int = 64
    window: int = 64
    tile: int = 64
    keys: int = 64
    bytes_a_number: int = 2

    @property
    def row(self) -> int:
        """Bytes of a vector."""
        return self.head_dim * self.bytes_a_number

    @property
    def sums(self) -> int:
        """Bytes of a vector of float32 accumulators."""
        return self.head_dim * SUM

    @property
    def blocks(self) -> int:
        """Blocks of keys that a tile of queries stands before."""
        return -(-(self.tile + self.window - 1) // self.keys)

    @property
    def tiles(self) -> int:
        """Tiles of queries that see a block of keys."""
        return -(-(self.keys + self.window - 1) // self.tile)

    def product(self, pairs: int) -> int:
        """Operations of one product of a token with so many others."""
        return 2 * pairs * self.head_dim


def forward(shape: Shape, earlier: int = 0, last: bool = True) -> Work:
    """One round, after `earlier` ones: query, keys and values come, the output goes.

    A later round also reads what the rounds before have left and, for the pairs they met, the stretches of the queries
    and the places of the keys in each; a round that is not the `last` leaves running sums in place of the output.
    """
    fetched = shape.blocks * shape.keys // shape.tile
    result = shape.row if last else shape.sums
    before = (shape.sums + SUM) if earlier else 0
    numbers = INDEX + STRETCH + SUM
    once = 2 * shape.row + result + before + numbers + earlier * (STRETCH + INDEX)
    # The queries' own rows are keys' too, and come a second time.
    asked = shape.row + 2 * fetched * shape.row + result + before + numbers + fetched * INDEX
    asked += earlier * shape.blocks * (STRETCH + shape.keys * INDEX // shape.tile)
    # At the end a token that saw nothing but itself is told by its stretches in all rounds.
    asked += (earlier + 1) * STRETCH if last else 0
    return Work(2 * shape.product(shape.blocks * shape.keys), once, asked) * shape.heads


def backward(shape: Shape, earlier: int = 0, last: bool = True) -> Work:
    """One round of both kernels: gradients of queries by tiles of these, those of keys and values by blocks of keys."""
    return (_of_queries(shape, earlier) + _of_keys(shape, earlier, last)) * shape.heads


def _of_queries(shape: Shape, earlier: int) -> Work:
    fetched = shape.blocks * shape.keys // shape.tile
    # The first round reads the output and leaves delta; the gradient stays in float32 until keys are added to it.
    first = shape.row if earlier == 0 else shape.sums
    numbers = INDEX + STRETCH + 2 * SUM
    once = 3 * shape.row + first + shape.sums + numbers + earlier * (STRETCH + INDEX)
    asked = 2 * shape.row + 2 * fetched * shape.row + first + shape.sums + numbers + fetched * INDEX
    asked += earlier * shape.blocks * (STRETCH + shape.keys * INDEX // shape.tile)
    return Work(3 * shape.product(shape.blocks * shape.keys), once, asked)


def _of_keys(shape: Shape, earlier: int, last: bool) -> Work:
    fetched = shape.tiles * shape.tile // shape.keys
    numbers = INDEX + STRETCH + 2 * SUM
    before = 2 * shape.sums if earlier else 0
    # The last round reads its own vectors again, and the queries' gradient, for the way through the unit length.
    results = 2 * shape.row + shape.sums if last else 2 * shape.sums
    once = 3 * shape.row + results + before + numbers + earlier * (STRETCH + INDEX)
    again = shape.row if last else 0
    # By its places in all rounds it is known whether a key is there at all.
    again += (earlier + 1) * INDEX if last and earlier else 0
    asked = 2 * shape.row + 2 * fetched * shape.row + again + results + before + INDEX + fetched * numbers
    asked += earlier * shape.tiles * (INDEX + shape.tile * STRETCH // shape.keys)
    return Work(4 * shape.product(shape.tiles * shape.tile), once, asked)


def attention(shape: Shape, rounds: int, with_backward: bool) -> Work:
    """All rounds of a call."""
    total = Work()
    for earlier in range(rounds):
        last = earlier == rounds - 1
        total += forward(shape, earlier, last)
        if with_backward:
            total += backward(shape, earlier, last)
    return total


def table() -> str:
    """The table of `docs/math.md`."""
    shape = Shape()
    lines = []
    for rounds in (1, 4):
        ahead = attention(shape, rounds, with_backward=False)
        both = attention(shape, rounds, with_backward=True)
        back = Work(both.operations - ahead.operations, both.once - ahead.once, both.asked - ahead.asked)
        for name, work in (("forward", ahead), ("backward", back)):
            lines.append(
                [
                    f"{name}, {'one round' if rounds == 1 else f'{rounds} rounds'}",
                    f"{work.operations:,}".replace(",", " "),
                    f"{work.once:,}".replace(",", " "),
                    f"{work.asked:,}".replace(",", " "),
                    f"{work.once / BANDWIDTH * 1e9:.2f} to {work.asked / BANDWIDTH * 1e9:.2f} ns",
                    f"{work.operations / DENSE_BFLOAT16 * 1e9:.2f} ns",
                ]
            )
    head = [f"a token, {shape.heads} heads", "operations", "bytes, every row once", "bytes, as tiles ask"]
    return grid([*head, "from memory", "in products"], lines)


if __name__ == "__main__":
    print(table())
