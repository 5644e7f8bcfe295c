"""One labeller fine-tuned in five ways on a newspaper and on reviews: the cost and the score of each way."""

import json
import statistics
import time
from collections.abc import Mapping
from functools import partial
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
    "embedding_size": 32,
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
    "trimmed": {"prune_layers": 4},
    "shared": {"distinct_layers": 2},
    "lora": {"lora_rank": 8, "lora_targets": ["query_key", "query", "key", "value", "output", "inner", "outer"]},
}
"""The fields of each way under `[finetune]`, beside the start."""

# A new head has learned nothing that could tell what a layer is worth, so the upper third goes.
NEW_HEAD = {"trimmed": {"keep_layers": [0, 1, 2, 3]}}

START_STEPS = 5
"""The steps of the start, as a multiple of those of each way."""
LORA_RATE = 3e-3
BATCH = 4096
STEPS_TIMED = 7


def fine_tuning(data: str) -> list[Contender]:
    """Every way on one data set; on the newspaper also the start itself, and what freezing saves in backward."""
    ways = [_contender(data, way) for way in WAYS]
    return ways if data != "people-daily" else [_contender(data, "start"), _contender(data, "backward"), *ways]


def _contender(data: str, way: str) -> Contender:
    def build(steps: int) -> dict[str, Action]:
        if way == "backward":
            return {"step": Action(lambda _: _backward())}
        if way == "start":
            return {"train": Action(lambda _: _start(steps))}
        # What there is to start from is made outside the clock.
        actions = {"train": Action(lambda _: _tune(data, way, steps), lambda: _start(steps))}
        # A step is the same on both.
        return actions | ({"step": Action(lambda _: _step(way))} if data == "people-daily" else {})

    longest = {"backward": {"train": 0}, "start": {"step": 0}}.get(way, {} if data == "people-daily" else {"step": 0})
    return Contender(f"{data}: {way}", data, build, partial(_check, way), {"data": data, "way": way}, longest)


def _tables(data: str, steps: int, **training: Any) -> Tables:
    return {
        "data": DATA[data],
        "training": {
            "task": TASKS[data],
            "max_steps": steps,
            "learning_rate": 1e-3,
            "weight_decay": 0.05,
            "batch_tokens": BATCH,
            "num_evaluations": 4,
            "num_threads": 1,
            **training,
        },
    }


def _place(steps: int, name: str) -> Path:
    from benchmarks.machine import ROOT

    return ROOT / "build" / "benchmarks" / "fine-tuning" / str(steps) / name


def _start(steps: int) -> Facts:
    """Train the labeller that every way starts from."""
    tables = _tables("people-daily", START_STEPS * steps, learning_rate=3e-3, num_evaluations=8)
    return trained(tables | {"model": MODEL}, _place(steps, "start"), "f1")


def _tune(data: str, way: str, steps: int) -> Facts:
    changed = NEW_HEAD.get(way, WAYS[way]) if data != "people-daily" else WAYS[way]
    tables = _tables(data, steps, **({"learning_rate": LORA_RATE} if way == "lora" else {}))
    finetune = {"start_from": str(_place(steps, "start")), **changed}
    return trained(tables | {"finetune": finetune}, _place(steps, f"{data}-{way}"), SCORES[data])


def trained(tables: Tables, place: Path, measure: str) -> Facts:
    """Train, or go on where an interrupted case has left it; what is finished is not trained again."""
    from rich.console import Console

    from reformer.tasks.recipe_checks import checked_recipe
    from reformer.training.train import train

    if (place / "metrics.json").exists():
        metrics = json.loads((place / "metrics.json").read_text(encoding="utf-8"))
    else:
        begun = any((place / "checkpoints").glob("checkpoint-*"))
        recipe = checked_recipe(tables)
        metrics = train(recipe, place, resume=begun, overwrite=not begun, console=Console(quiet=True))
    told: Mapping[str, Any] = metrics.get("start", {})
    return {
        "score": (metrics["test"] or metrics["validation"])[measure],
        "weights": metrics["training"]["weights"],
        "learned": metrics["training"]["learned_weights"],
        "bytes": sum(file.stat().st_size for file in place.glob("*.safetensors")),
        "tokens": metrics["training"]["tokens"],
        "precision": metrics["training"]["precision"],
        **({"kept": list(told["kept"])} if "kept" in told else {}),
    }


def labeller(way: str, vocab_size: int = 4000) -> Any:
    """The labeller of the case as the way changes it, with fresh weights: they cost no less."""
    import torch

    from reformer.finetuning import add_lora, freeze, keep_layers, share
    from reformer.models import ReformerConfig, ReformerForTokenClassification

    torch.manual_seed(0)
    fields: dict[str, Any] = MODEL | {"vocab_size": vocab_size, "num_labels": 7}
    model = ReformerForTokenClassification(ReformerConfig(**fields))
    if way == "frozen":
        freeze(model, WAYS["frozen"]["freeze"])
    elif way == "upper":
        model = keep_layers(model, [3, 4, 5])
        freeze(model, ["embeddings"])
    elif way == "trimmed":
        model = keep_layers(model, NEW_HEAD["trimmed"]["keep_layers"])
    elif way == "shared":
        model = share(model, WAYS["shared"]["distinct_layers"])
    elif way == "lora":
        add_lora(model, WAYS["lora"]["lora_rank"], targets=WAYS["lora"]["lora_targets"])
    return model.train()


def _loss(model: Any) -> Any:
    import torch

    from reformer.training.precision import fastest_precision

    ids = torch.arange(BATCH).view(4, -1) % 4000
    with torch.autocast("cpu", torch.bfloat16, enabled=fastest_precision("cpu") == "bfloat16"):
        return model(input_ids=ids, labels=ids % 7).loss


def _step(way: str) -> Facts:
    """The processor's time of a training step, a median; the first one loads what is loaded on first use."""
    import torch

    torch.set_num_threads(1)
    model = labeller(way)
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad])
    seconds = []
    for _ in range(1 + STEPS_TIMED):
        begun = time.process_time()
        _loss(model).backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.process_time() - begun)
    return {"step": statistics.median(seconds[1:])}


def _backward() -> Facts:
    """The processor's time of a backward pass, in turns: whole; with the lower half frozen; of the upper half alone,
    which tells what the lower one costs in the others."""
    import torch

    torch.set_num_threads(1)
    models = {way: labeller(way) for way in ("whole", "frozen", "upper")}
    seconds: dict[str, list[float]] = {way: [] for way in models}
    for _ in range(1 + STEPS_TIMED):
        for way, model in models.items():
            loss = _loss(model)
            begun = time.process_time()
            loss.backward()
            seconds[way].append(time.process_time() - begun)
            model.zero_grad()
    return {f"{way} backward": statistics.median(found[1:]) for way, found in seconds.items()}


def _check(way: str) -> str:
    """The way changes a small model as its row says."""
    import torch

    from reformer.finetuning import layers

    way = "frozen" if way == "backward" else way
    model = labeller(way, vocab_size=40).eval()
    learning = [any(weight.requires_grad for sub in each for weight in sub.parameters()) for each in layers(model)]
    matrices = [[id(weight) for weight in each[1].parameters() if weight.dim() > 1] for each in layers(model)]
    distinct = len({matrix for each in matrices for matrix in each})
    if way == "frozen":
        kept, seen = learning == [False] * 3 + [True] * 3, f"of six layers learn {sum(learning)}, the upper ones"
    elif way == "trimmed":
        kept, seen = len(learning) == 4, f"of six layers {len(learning)} are left"
    elif way == "shared":
        kept, seen = distinct == sum(map(len, matrices[:2])), f"six attentions have {distinct} matrices"
    elif way == "lora":
        ids = torch.randint(1, 40, (1, 50))
        with torch.no_grad():
            apart = (
                (model(input_ids=ids).logits - labeller("whole", 40).eval()(input_ids=ids).logits).abs().max().item()
            )
        kept, seen = apart < 1e-5, f"with adapters that have learned nothing the outputs differ by {apart:.1e}"
    else:
        count = len(list(model.parameters()))
        kept, seen = all(weight.requires_grad for weight in model.parameters()), f"all {count} parameters learn"
    if not kept:
        raise ContractError(seen)
    return seen
