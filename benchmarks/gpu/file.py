"""The results of one card as JSON, written after every measurement, so that any call goes on where the last one was."""

import json
import os
from pathlib import Path
from typing import Any

from benchmarks.gpu.parts import PARTS
from benchmarks.results import FOLDER
from reformer.errors import ReformerError

DEFAULT = FOLDER / "gpu.json"

SAME = ("card", "driver", "cuda", "commit")
"""What may not differ between the calls that fill one file; the versions of packages neither."""


class CardFile:
    """What was measured on a card.

    Raises:
        ReformerError: the file holds the results of another card, driver, version or commit.
    """

    def __init__(self, path: Path, card: dict[str, Any]) -> None:
        self.path = path
        self.result: dict[str, Any] = {
            "case": "gpu", "question": "How fast is it on a card?", "machine": card, "actions": [], "contracts": {},
            **{part: [] for part in PARTS if part != "op"}, "rows": [],
        }  # fmt: skip
        if not path.exists():
            return
        held = json.loads(path.read_text(encoding="utf-8"))
        differ = [name for name in (*SAME, "versions") if held["machine"].get(name) != card.get(name)]
        if differ:
            was = "; ".join(f"{name} {held['machine'].get(name)}, now {card.get(name)}" for name in differ)
            raise ReformerError(
                f"{path} was measured with {was}. Numbers of both do not belong into one file: give another --output, "
                "or remove it"
            )
        self.result = held

    def add(self, part: str, record: dict[str, Any]) -> None:
        self.result[part].append(record)
        self.write()

    def drop(self, part: str) -> None:
        """Forget a part, to measure it again."""
        self.result[part] = []

    def has(self, part: str, **fields: Any) -> bool:
        """Whether something of these fields was measured, or left out for a reason."""
        return any(all(record.get(name) == value for name, value in fields.items()) for record in self.result[part])

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(new, self.path)
