"""English to Chinese, learned from the pairs of `benchmarks.help_pairs`: ours beside the plain Transformer."""

import csv
import shutil
import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.case import Contender, ContractError
from benchmarks.learning import learner
from benchmarks.machine import ROOT

UNFINISHED = ROOT / "build" / "translation"
"""Where a run that was interrupted is gone on from."""

VOCABULARY = 3000
"""Pieces of words of both languages, learned from the pairs that are trained on."""

SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "bos_token": "[BOS]", "eos_token": "[EOS]"}

MODELS: dict[str, dict[str, Any]] = {
    "ours": {
        "attention_layers": ["local+lsh"] * 2,
        "decoder_attention_layers": ["local"] * 2,
        "local_window": 16,
        "lsh_window": 16,
        "num_buckets": 4,
        "shared_query_key": False,
        "feed_forward_size": 480,
    },
    "plain Transformer": {
        "residual_streams": 1,
        "reversible": False,
        "attention_layers": ["full"] * 2,
        # It has one stream for the heads and the cross attention to read; what that saves is given back here.
        "feed_forward_size": 556,
    },
}
"""Their own fields: reversible with hashes in the encoder and a window in the decoder, or neither of these."""

COMMON: dict[str, Any] = {
    "hidden_size": 128,
    "num_attention_heads": 2,
    "attention_head_size": 64,
    "cross_attention_layers": ["full"] * 2,
    "tie_word_embeddings": True,
    "hidden_dropout_prob": 0.1,
    "label_smoothing": 0.1,
    "max_position_embeddings": 512,
}

EQUAL = 0.01
"""By which part the numbers of weights may differ."""

CHECK_PAIRS = [(f"Open file {number}", f"打开文件 {number}") for number in range(40)]


def translation(name: str, pairs: Path | None) -> Contender:
    """One model, trained for so many steps and then scored on what it writes by itself for the test pairs."""

    def run(steps: int) -> dict[str, Any]:
        folder = UNFINISHED / f"{name.replace(' ', '-')}-{steps}"
        facts = train(name, steps, read_pairs(pairs), folder)
        shutil.rmtree(folder)
        return facts

    return learner(name, "ours" if name == "ours" else "plain", run, partial(_check, name))


def read_pairs(path: Path | None) -> dict[str, list[tuple[str, str]]]:
    """Source and target by split."""
    if path is None:
        raise ContractError("there are no pairs; give --pairs a TSV that `python -m benchmarks.help_pairs` has written")
    found: dict[str, list[tuple[str, str]]] = {"train": [], "validation": [], "test": []}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            found[row["split"]].append((row["source"], row["target"]))
    return found


def train(name: str, steps: int, pairs: dict[str, list[tuple[str, str]]], folder: Path) -> dict[str, Any]:
    """The scores on the test pairs, and what the training took. A run that `folder` has is gone on with."""
    from rich.console import Console

    from reformer.training.train import train

    run = folder / "run"
    begun = any(run.glob("checkpoints/checkpoint-*"))
    if not begun:
        folder.mkdir(parents=True, exist_ok=True)
        _write(pairs, folder)
        _tokenizer(text for pair in pairs["train"] for text in pair).save_pretrained(folder / "tokenizer")
    metrics = train(_recipe(name, steps, folder), run, resume=begun, overwrite=not begun, console=Console())
    training = metrics["training"]
    return {
        **metrics["test"],
        "validation_chrf": metrics["validation"]["chrf"],
        "weights": training["weights"],
        "steps": training["steps"],
        "epochs": training["epochs"],
        "training_seconds": 60 * training["minutes"],
        "precision": training["precision"],
    }


def _write(pairs: dict[str, list[tuple[str, str]]], folder: Path) -> None:
    for split, rows in pairs.items():
        with (folder / f"{split}.tsv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter="\t", lineterminator="\n").writerows([("source", "target"), *rows])


def _recipe(name: str, steps: int, folder: Path) -> Any:
    from reformer.tasks.recipe_checks import checked_recipe

    return checked_recipe(
        {
            "data": {split: str(folder / f"{split}.tsv") for split in ("train", "validation", "test")},
            "tokenizer": {"kind": str(folder / "tokenizer")},
            "model": COMMON | MODELS[name],
            "training": {
                "task": "text-to-text",
                "max_steps": steps,
                "learning_rate": 2e-3,
                "warmup_ratio": 0.1,
                "batch_tokens": 2048,
                "num_evaluations": 6 if steps >= 600 else 1,
                "logging_steps": 50,
                "device": "cpu",
            },
        }
    )


def _tokenizer(texts: Iterable[str]) -> Any:
    """Pieces of words by byte pair encoding; a space belongs to the word behind it, a sign stands alone."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE(unk_token=SPECIAL["unk_token"]))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="never"),
            pre_tokenizers.Punctuation("isolated"),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    made.decoder = decoders.Metaspace(prepend_scheme="never")
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL.values()), show_progress=False, max_token_length=16
    )
    made.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, clean_up_tokenization_spaces=False, **SPECIAL)


def _check(name: str) -> str:
    """The models have equally many weights, and forty pairs that differ in a number are learned."""
    from reformer.models import ReformerConfig, ReformerForConditionalGeneration

    weights = {}
    for each, fields in MODELS.items():
        config = ReformerConfig(vocab_size=VOCABULARY, is_encoder_decoder=True, bos_token_id=2, **COMMON | fields)
        weights[each] = ReformerForConditionalGeneration(config).num_parameters()
    if max(weights.values()) > (1 + EQUAL) * min(weights.values()):
        raise ContractError(f"the models differ in size by more than {EQUAL:.0%}: {weights}")
    pairs = {"train": CHECK_PAIRS, "validation": CHECK_PAIRS[:2], "test": CHECK_PAIRS[:8]}
    with tempfile.TemporaryDirectory() as folder:
        facts = train(name, 60, pairs, Path(folder))
    if not facts["bleu"] > 50:
        raise ContractError(f"BLEU {facts['bleu']:.1f} on pairs it was trained on for 60 steps, expected more than 50")
    return f"{weights[name]:,} weights; BLEU {facts['bleu']:.1f} on pairs it was trained on for 60 steps"
