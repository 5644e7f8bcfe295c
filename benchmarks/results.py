"""Results as JSON files, one a case: written while they are measured, read by the report."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"

Result = dict[str, Any]


class ResultFile:
    """The file of one case. Until `finish` it is called `CASE.partial.json`, so that a run that was interrupted
    keeps what it measured and does not touch what a whole one has left."""

    def __init__(self, folder: Path, header: Result) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{header['case']}.json"
        self.partial = folder / f"{header['case']}.partial.json"
        self.result = header | {"contracts": {}, "rows": []}

    def see(self, contracts: Mapping[str, str]) -> None:
        """Keep what was seen of each contender's contract."""
        self.result["contracts"] |= contracts

    def resume(self) -> None:
        """Go on from what an interrupted run has left, without what failed in it; each start is kept."""
        if not self.partial.exists():
            return
        left = json.loads(self.partial.read_text(encoding="utf-8"))
        left["resumed"] = [*left.get("resumed", []), self.result["machine"]]
        left["rows"] = [row for row in left["rows"] if "error" not in row]
        self.result = left

    def has(self, contender: str, length: int, actions: Sequence[str]) -> bool:
        """Whether all of these are there, measured or left out for a reason."""
        there = {(row["contender"], row["length"], row["action"]) for row in self.result["rows"]}
        return all((contender, length, action) in there for action in actions)

    def add(self, row: Result) -> None:
        self.result["rows"].append(row)
        text = json.dumps(self.result, indent=1, ensure_ascii=False)
        new = self.partial.with_suffix(".new")
        new.write_text(text + "\n", encoding="utf-8")
        os.replace(new, self.partial)

    def finish(self) -> None:
        if self.partial.exists():
            os.replace(self.partial, self.path)


def load(case: str, folder: Path = FOLDER) -> Result | None:
    """What a whole run of a case has left; None if there was none."""
    path = folder / f"{case}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
