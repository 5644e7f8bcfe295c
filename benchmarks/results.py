"""Results as JSON files, one a case: written while they are measured, read by the report."""

import json
import os
from pathlib import Path
from typing import Any

from benchmarks.worker import LIMIT, NO_MEMORY
from reformer.errors import ReformerError

FOLDER = Path(__file__).parent / "results"

Result = dict[str, Any]

SAME = ("processor", "card", "driver", "cuda", "threads", "versions")
"""Of a machine, what may not differ between the runs that fill one file."""


class ResultFile:
    """The file of one case. Until `finish` it is called `CASE.partial.json`, so that a run that was interrupted
    keeps what it measured and does not touch what a whole one has left."""

    def __init__(self, folder: Path, header: Result) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{header['case']}.json"
        self.partial = folder / f"{header['case']}.partial.json"
        self.result = header | {"contracts": {}, "rows": []}

    def resume(self) -> None:
        """Go on from what an interrupted run has left, without what failed in it; each start is kept. Where nothing
        was left, but the case was finished at the same commit, it has all that is wanted.

        Raises:
            ReformerError: it was measured on another machine or with other versions.
        """
        now = self.result["machine"]
        if not self.partial.exists():
            if self.path.exists():
                whole = _read(self.path)
                if not _differences(whole, self.result) and whole["machine"].get("commit") == now.get("commit"):
                    self.result = whole
            return
        left = _read(self.partial)
        differences = _differences(left, self.result)
        if differences:
            raise ReformerError(
                f"{self.partial} was measured with {differences}. Numbers of both do not belong into one file: give "
                "another --output, or remove it"
            )
        left["resumed"] = [*left.get("resumed", []), now]
        # A limit that was met is a result; what failed otherwise is tried again.
        left["rows"] = [row for row in left["rows"] if row.get("error", LIMIT).startswith((LIMIT, NO_MEMORY))]
        self.result = left

    def has(self, contender: str, length: int, action: str) -> bool:
        """Whether this is there, measured or left out for a reason."""
        wanted = (contender, length, action)
        return any((row["contender"], row["length"], row["action"]) == wanted for row in self.result["rows"])

    def see(self, contender: str, seen: str) -> None:
        """Keep the report of a contender's contract."""
        self.result["contracts"][contender] = seen

    def add(self, row: Result) -> None:
        self.result["rows"].append(row)
        self.write()

    def write(self) -> None:
        new = self.partial.with_suffix(".new")
        new.write_text(json.dumps(self.result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(new, self.partial)

    def finish(self) -> bool:
        """Give the file its name; False if nothing was measured."""
        if self.partial.exists():
            os.replace(self.partial, self.path)
            return True
        return False


def load(case: str, folder: Path = FOLDER) -> Result | None:
    """The results of a whole run of a case; None if there was none."""
    path = folder / f"{case}.json"
    return _read(path) if path.exists() else None


def _read(path: Path) -> Result:
    return json.loads(path.read_text(encoding="utf-8"))


def _differences(old: Result, new: Result) -> str:
    held, now = old["machine"], new["machine"]
    differ = [name for name in SAME if held.get(name) != now.get(name)]
    return "; ".join(f"{name} {held.get(name)}, now {now.get(name)}" for name in differ)
