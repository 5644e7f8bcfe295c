"""One labeller fine-tuned in five ways on a newspaper and on reviews: what each way costs, and what it is worth."""

import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.case import Action, Contender, ContractError

Facts = dict[str, Any]
Tables = dict[str, Any]

MODEL: Tables = {
    "hidden_size": 96,
    "num_attention_heads": 2,
    "attention_head_size": 48,
    "feed_forward_size": 384,
    # Six layers, of kinds that repeat every two, so that layers can share.
    "attention_layers": ["local", "local+lsh"] * 3,
    "local_window": 32,
    "lsh_window": 32,
    "num_buckets": 64,
    "num_rounds": 1,
    "convolution_kernel": 5,
    # Embeddings are half of so small a model; narrow ones leave the layers most of its weights.
    "embedding_size": 48,
    "hidden_dropout_prob": 0.1,
}
DATA: dict[str, Tables] = {
    "people-daily": {"source": "index:people-daily", "max_length": 1000, "validation_fraction": 0.03},
    "chinese-reviews": {"source": "index:chinese-reviews"},
}
TASKS = {"people-daily": "token-classification", "chinese-reviews": "sequence-classification"}
SCORES = {"people-daily": "f1", "chinese-reviews": "accuracy"}

WAYS: dict[str, Tables] = {
    "whole": {},
    "frozen": {"freeze": ["embeddings", "0-2"]},
    "trimmed": {"trim_layers": 4},
    "shared": {"distinct_layers": 2},
    "lora": {"lora_rank": 8, "lora_targets": ["query_key", "query", "key", "value", "output", "inner", "outer"]},
}
"""What each way says under `[finetune]`, beside where it starts."""

# A new head has learned nothing that could tell what a layer is worth, so the upper third goes.
NEW_HEAD = {"trimmed": {"keep_layers": [0, 1, 2, 3]}}

START_STEPS = 5
"""How many times as long the start trains."""
LORA_RATE = 3e-3
BACKWARD_TURNS = 9


def fine_tuning(data: str) -> list[Contender]:
    """Every way on one data set; on the newspaper also the start itself, and what freezing saves in backward."""
    ways = [_contender(data, way, lambda steps, way=way: _tune(data, way, steps)) for way in WAYS]
    if data != "people-daily":
        return ways
    return [
        _contender(data, "start", _start),
        _contender(data, "backward", _backward),
        *ways,
    ]


def _contender(data: str, way: str, run: Any) -> Contender:
    def build(steps: int) -> dict[str, Action]:
        # What there is to start from is made outside the clock.
        prepare = (lambda: None) if way in ("start", "backward") else (lambda: _start_at(steps))
        return {"train": Action(lambda _: run(steps), prepare)}

    return Contender(f"{data}: {way}", data, build, _check, {"data": data, "way": way})


def _tables(data: str, steps: int, **training: Any) -> Tables:
    return {
        "data": DATA[data],
        "training": {
            "task": TASKS[data],
            "max_steps": steps,
            "learning_rate": 1e-3,
            "weight_decay": 0.05,
            "batch_tokens": 4096,
            "evaluations": 1,
            "num_threads": 1,
            **training,
        },
    }


def _place(steps: int) -> Path:
    from benchmarks.machine import ROOT

    return ROOT / "build" / "benchmarks" / f"fine-tuning-start-{START_STEPS * steps}"


def _start_at(steps: int) -> Path:
    """The trained labeller that every way starts from, made if it is not there."""
    place = _place(steps)
    _start(steps)
    return place


def _start(steps: int) -> Facts:
    """Train the labeller, or go on where an interrupted case has left it."""
    tables = _tables("people-daily", START_STEPS * steps, learning_rate=3e-3, evaluations=8)
    return _train(tables | {"model": MODEL}, _place(steps), "f1")


def _tune(data: str, way: str, steps: int) -> Facts:
    changed = NEW_HEAD.get(way, WAYS[way]) if data != "people-daily" else WAYS[way]
    tables = _tables(data, steps, **({"learning_rate": LORA_RATE} if way == "lora" else {}))
    with tempfile.TemporaryDirectory() as folder:
        finetune = {"start_from": str(_start_at(steps)), **changed}
        return _train(tables | {"finetune": finetune}, Path(folder) / "run", SCORES[data])


def _train(tables: Tables, place: Path, measure: str) -> Facts:
    from rich.console import Console

    from reformer.training.recipe import Recipe
    from reformer.training.train import train

    recipe = Recipe.model_validate(tables)
    if (place / "metrics.json").exists():
        metrics = json.loads((place / "metrics.json").read_text(encoding="utf-8"))
    else:
        begun = any((place / "checkpoints").glob("checkpoint-*"))
        metrics = train(recipe, place, resume=begun, overwrite=not begun, console=Console(quiet=True))
    told: Mapping[str, Any] = metrics.get("start", {})
    files = [*place.glob("*.safetensors")]
    return {
        "score": metrics["test"][measure],
        "weights": metrics["training"]["weights"],
        "learned": metrics["training"]["learned_weights"],
        "bytes": sum(file.stat().st_size for file in files),
        "tokens": metrics["training"]["tokens"],
        "precision": metrics["training"]["precision"],
        **({"kept": list(told["kept"])} if "kept" in told else {}),
    }


def _backward(steps: int) -> Facts:
    """The time of a backward pass, whole and with the embeddings and the lower three layers frozen, in turns."""
    import torch

    from reformer.finetuning import freeze
    from reformer.models import ReformerConfig, ReformerForTokenClassification

    torch.manual_seed(0)
    torch.set_num_threads(1)
    ids = torch.randint(1, 4000, (4, 1000))
    models = {}
    for way in ("whole", "frozen"):
        config = ReformerConfig(**MODEL, vocab_size=4000, num_labels=7)
        models[way] = ReformerForTokenClassification(config).train()
    freeze(models["frozen"], ["embeddings", "0-2"])
    seconds: dict[str, list[float]] = {way: [] for way in models}
    for turn in range(1 + min(steps, BACKWARD_TURNS)):
        for way, model in models.items():
            loss = model(input_ids=ids, labels=ids % 7).loss
            begun = time.process_time()
            loss.backward()
            spent = time.process_time() - begun
            model.zero_grad()
            # The first turn loads what is loaded on first use.
            if turn:
                seconds[way].append(spent)
    return {f"{way} backward": statistics.median(found) for way, found in seconds.items()}


def _check() -> str:
    """What every way does to a small model is what its row says."""
    import torch

    from reformer.finetuning import add_lora, freeze, keep_layers, layers, share
    from reformer.models import ReformerConfig, ReformerForTokenClassification

    config = ReformerConfig(**MODEL, vocab_size=40, num_labels=3)
    model = ReformerForTokenClassification(config).eval()
    frozen = ReformerForTokenClassification(config)
    freeze(frozen, ["embeddings", "0-2"])
    learning = [any(weight.requires_grad for sub in each for weight in sub.parameters()) for each in layers(frozen)]
    kept, fewer = keep_layers(model, [0, 1, 2, 3]), share(model, 2)
    ids = torch.randint(1, 40, (1, 50))
    with torch.no_grad():
        before = model(input_ids=ids).logits
        add_lora(model, 8)
        apart = (model(input_ids=ids).logits - before).abs().max().item()
    if apart > 1e-5:
        raise ContractError(f"a model with adapters that have learned nothing differs by {apart:g}")
    if learning != [False] * 3 + [True] * 3 or len(layers(kept)) != 4 or fewer.config.num_distinct_layers != 2:
        raise ContractError(f"layers that learn: {learning}; kept: {len(layers(kept))}")
    return "three frozen layers learn nothing, four of six are kept, two are shared, adapters begin without effect"
