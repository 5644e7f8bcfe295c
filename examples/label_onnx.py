"""Label a document by an exported model, with onnxruntime, tokenizers and numpy alone.

    reformer export runs/demo --to onnx -o exported
    python examples/label_onnx.py exported document.txt

The spans are those of `reformer predict runs/demo document.txt --aggregation-strategy simple`: each token keeps its own
tag.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


def best_tags(logits: np.ndarray, labels: list[str]) -> list[int]:
    """The tags with the greatest sum of logits in which every I-X follows B-X or I-X (Viterbi)."""
    follows = np.array([[not b.startswith("I-") or (a[2:] == b[2:] and a != "O") for b in labels] for a in labels])
    forbidden = np.where(follows, 0.0, -np.inf)
    total = logits[0].astype(np.float64) + np.where([label.startswith("I-") for label in labels], -np.inf, 0.0)
    before = []
    for row in logits[1:].astype(np.float64):
        scores = total[:, None] + forbidden
        before.append(scores.argmax(0))
        total = scores.max(0) + row
    tags = [int(total.argmax())]
    for came_from in reversed(before):
        tags.append(int(came_from[tags[-1]]))
    return tags[::-1]


def label(folder: Path, text: str) -> list[tuple[int, int, str]]:
    """The entities of a text: first character, character behind the last, type."""
    told = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    if told["task"] != "token-classification":
        raise SystemExit(f"{folder}: this model has learned {told['task']}; export one that labels tokens")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoding = tokenizer.encode(text, add_special_tokens=told["special_tokens"])
    if not told["least_length"] <= len(encoding.ids) <= told["longest_length"]:
        raise SystemExit(
            f"{len(encoding.ids)} tokens: the model reads {told['least_length']} to {told['longest_length']}"
        )
    session = onnxruntime.InferenceSession(str(folder / told["graph"]), providers=["CPUExecutionProvider"])
    ids = np.array([encoding.ids], dtype=np.int64)
    (logits,) = session.run(["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    entities: list[tuple[int, int, str]] = []
    for tag, (start, end) in zip(best_tags(logits[0], told["labels"]), encoding.offsets, strict=True):
        name = told["labels"][tag]
        if name.startswith("B-"):
            entities.append((start, end, name[2:]))
        elif name.startswith("I-"):
            entities[-1] = (entities[-1][0], end, name[2:])
    return entities


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit("python label_onnx.py FOLDER DOCUMENT: the folder of `reformer export`, and a text file")
    text = Path(sys.argv[2]).read_bytes().decode("utf-8")
    for start, end, kind in label(Path(sys.argv[1]), text):
        print(start, end, kind, text[start:end])


if __name__ == "__main__":
    main()
