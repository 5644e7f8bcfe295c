"""`python -m benchmarks.gpu`: check the contract on this card, tune, measure, write JSON, print tables.

Everything goes on where an earlier call stopped, so that it can be done in calls of a few minutes: --minutes 9.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu import card, parts, tables
from benchmarks.gpu.file import DEFAULT, CardFile
from benchmarks.run import length_of
from reformer.errors import ReformerError

INTERPRETED_LENGTH = 70


def main(arguments: list[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    try:
        return _run(given)
    except ReformerError as error:
        print(error, file=sys.stderr)
        return 2


def _run(given: argparse.Namespace) -> int:
    from reformer.ops import gpu

    if gpu.INTERPRETED and gpu.MISSING is None:
        return _interpreted(given)
    reason = card.missing()
    if reason is not None:
        raise ReformerError(reason)
    ends = time.monotonic() + given.minutes * 60
    # First of all, because the file is read once, by the first kernel that is launched.
    parts.keep_tiles(given.output.with_suffix(".tiles.json"))
    file = CardFile(given.output, card.describe())
    effort = parts.Effort(given.limit, ends)
    for part in given.part:
        if given.again:
            file.drop("rows" if part == "op" else part)
        if part != "check" and parts.broken(file):
            _say(parts.check(file, effort))
        if part == "check":
            _say(parts.check(file, effort))
            file.result.setdefault("limits", card.limits())
            file.write()
        wrong = parts.broken(file)
        if wrong:
            raise ReformerError(
                f"the contract does not hold on this card, so nothing is measured: {'; '.join(wrong)}. "
                f"{given.output} has what was seen; REFORMER_TRITON_TILES, if set, may name tilings of another card"
            )
        if part == "tune":
            _say(parts.tune(file, effort))
        elif part == "op":
            _say(parts.op(file, effort, lengths=given.lengths))
        elif part == "train":
            _say(parts.train(file, effort, lengths=given.lengths))
        elif part == "stream":
            _say(parts.stream(file, effort, tokens=given.tokens))
    print(tables.gpu(file.result))
    print(f"written to {given.output}; `python -m benchmarks.report` puts it into docs/benchmarks.md")
    return 0


def _interpreted(given: argparse.Namespace) -> int:
    """The contract alone, which takes minutes; nothing is written, because nothing is of a card."""
    if list(given.part) != ["check"]:
        raise ReformerError(
            "in Triton's interpreter the contract alone can be checked, times would mean nothing: --part check, or "
            "leave TRITON_INTERPRET out on a machine with a card"
        )
    held = _Held()
    _say(parts.check(held, parts.Effort(given.limit), device="cpu", length=INTERPRETED_LENGTH))
    return 1 if parts.broken(held, "cpu", INTERPRETED_LENGTH) else 0


class _Held:
    """Results that are kept nowhere."""

    def __init__(self) -> None:
        self.result: dict[str, Any] = {part: [] for part in parts.PARTS}

    def add(self, part: str, record: dict[str, Any]) -> None:
        self.result[part].append(record)

    def has(self, part: str, **fields: Any) -> bool:
        return False

    def write(self) -> None:
        return None


def _say(lines: Any) -> None:
    for line in lines:
        print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--part", nargs="+", choices=parts.PARTS, default=list(parts.PARTS), help="all if not given")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after which nothing more is begun")
    parser.add_argument("--limit", type=float, default=120, help="seconds for one measurement of one contender")
    parser.add_argument("--lengths", type=length_of, nargs="+", help="of `op` and `train`, such as 4k 64k")
    parser.add_argument("--tokens", type=length_of, default=10**9, help="of `stream`")
    parser.add_argument("--output", type=Path, default=DEFAULT, help="the JSON file; tilings are kept beside it")
    parser.add_argument("--again", action="store_true", help="forget what the parts have measured, and begin anew")
    return parser


if __name__ == "__main__":
    sys.exit(main())
