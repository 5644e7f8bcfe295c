"""`python -m benchmarks.doctor`: findings of the doctor on random models of transformers, as docs/doctor.md."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    BertConfig,
    BertForTokenClassification,
    BigBirdConfig,
    BigBirdForTokenClassification,
    LongformerConfig,
    LongformerForTokenClassification,
    PreTrainedModel,
)
from transformers import ReformerConfig as PeerConfig
from transformers import ReformerForMaskedLM as PeerForMaskedLM
from transformers import ReformerModelWithLMHead as PeerForCausalLM

from benchmarks.markdown import grid
from reformer.files import write
from reformer.insight.doctor import PROPERTIES, Finding, examine, subject_of
from reformer.models import ReformerConfig, ReformerForCausalLM, ReformerForMaskedLM, ReformerForTokenClassification

LENGTHS = (1, 2, 5, 17, 64)
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
PEER = {
    "vocab_size": 70,
    "hidden_size": 32,
    "attention_head_size": 16,
    "num_attention_heads": 2,
    "feed_forward_size": 48,
    "attn_layers": ["local", "lsh"],
    "local_attn_chunk_length": 8,
    "lsh_attn_chunk_length": 8,
    "num_buckets": [2, 4],
    "num_hashes": 2,
    "axial_pos_shape": [8, 16],
    "axial_pos_embds_dim": [12, 20],
    "max_position_embeddings": 128,
    # As its documentation advises for evaluation; without one it draws other rotations in every call.
    "hash_seed": 1,
}
OURS = {
    "vocab_size": 70,
    "hidden_size": 32,
    "attention_head_size": 16,
    "num_attention_heads": 2,
    "feed_forward_size": 48,
    "attention_layers": ["local", "lsh"],
    "local_window": 8,
    "lsh_window": 8,
    "num_buckets": [2, 4],
    "num_rounds": 2,
    "max_position_embeddings": 128,
}

MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "transformers' Reformer, masked": lambda: PeerForMaskedLM(PeerConfig(**PEER, is_decoder=False)),
    "transformers' Reformer, causal": lambda: PeerForCausalLM(PeerConfig(**PEER, is_decoder=True)),
    "Longformer": lambda: LongformerForTokenClassification(
        LongformerConfig(vocab_size=70, max_position_embeddings=130, attention_window=8, **SIZES)
    ),
    "BigBird": lambda: BigBirdForTokenClassification(
        BigBirdConfig(vocab_size=70, max_position_embeddings=128, block_size=4, num_random_blocks=2, **SIZES)
    ),
    "BERT": lambda: BertForTokenClassification(BertConfig(vocab_size=70, max_position_embeddings=128, **SIZES)),
    "ours, masked": lambda: ReformerForMaskedLM(ReformerConfig(**OURS)),
    "ours, causal": lambda: ReformerForCausalLM(ReformerConfig(**OURS, is_decoder=True)),
    "ours, labelling": lambda: ReformerForTokenClassification(ReformerConfig(**OURS)),
}
"""Small models with drawn weights."""

HEAD = """# What the doctor finds

`reformer doctor MODEL` examines a model, of this package or of another architecture of transformers, for the promises
of [the contract](guarantees.md): what it tries, by how much the answers deviate, and for a broken promise the smallest
input that shows it. `--json` tells the same to a script, and the exit status is 1 where a promise is broken.

```sh
reformer doctor runs/demo
reformer doctor bert-base-chinese --json
```

Below are its findings on small models with random weights, in torch {torch} and transformers {transformers}: sequences
of up to {longest} tokens, in float32 and float64. A promise that is broken here is one that these architectures do not
make: positions that count padding are right for texts that are padded on the other side, and a model that reads blocks
of a fixed size may ask for whole ones. Whoever relies on it should know.

This page is made by `python -m benchmarks.doctor`.
"""

WORDS = {True: "holds", False: "**broken**", None: "-"}


def findings(names: Iterable[str]) -> Iterator[tuple[str, PreTrainedModel, list[Finding]]]:
    """The findings on each model of `MODELS` of these names."""
    for name in names:
        torch.manual_seed(0)
        model = MODELS[name]()
        yield name, model, list(examine(subject_of(model), PROPERTIES, LENGTHS))


def page(found: Iterable[tuple[str, PreTrainedModel, list[Finding]]]) -> str:
    """The page in Markdown."""
    found = list(found)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "longest": LENGTHS[-1]}
    rows = [
        [tried.name, *(WORDS[each[number].passed] for _, _, each in found)] for number, tried in enumerate(PROPERTIES)
    ]
    parts = [HEAD.format(**versions), grid(["", *(name for name, _, _ in found)], rows)]
    for name, model, each in found:
        parts += [f"## {name}", f"`{type(model).__name__}`", _table(each)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _table(found: Iterable[Finding]) -> str:
    head = ["", "result", "deviation", "bound", "at", "what"]
    rule = "| " + " | ".join(["---", "---", "---:", "---:", "---", "---"]) + " |"
    lines = [
        "| "
        + " | ".join([each.property, WORDS[each.passed], _number(each.deviation), _number(each.bound), *_place(each)])
        + " |"
        for each in found
    ]
    return "\n".join(["| " + " | ".join(head) + " |", rule, *lines])


def _place(found: Finding) -> tuple[str, str]:
    # Errors of others may hold what Markdown reads.
    note = "".join(f"\\{mark}" if mark in "|<>[]*_`\\" else mark for mark in found.note)
    if found.smallest is None:
        return "", note
    shown = {name: value for name, value in found.smallest.items() if value is not None}
    return ", ".join(f"{name} {value}" for name, value in shown.items()), note


def _number(value: float | None) -> str:
    return "" if value is None else "fails" if value == float("inf") else f"{value:.1e}" if value else "0"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS), metavar="NAME")
    parser.add_argument("--output", type=Path, default=Path("docs/doctor.md"))
    parser.add_argument("--json", action="store_true", help="print the findings as JSON, and write no page")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found = list(findings(given.models))
    if given.json:
        told: dict[str, Any] = {name: [each.to_json() for each in rows] for name, _, rows in found}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        write(given.output, page(found).encode())


if __name__ == "__main__":
    main()
