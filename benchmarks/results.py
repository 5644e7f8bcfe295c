"""Results as JSON files, one a case: written while they are measured, read by the report."""

import json
import os
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
        self.result = header | {"rows": []}

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
