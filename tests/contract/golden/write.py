"""Writes the golden files: `python -m tests.contract.golden.write`. To be run on purpose only.

They say what earlier versions wrote, and later ones are held to them. Writing them anew says that models, runs,
checkpoints and recipes of before are no longer read, or no longer answer as they did: that has to be meant, and to
stand in CHANGELOG.md.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from reformer.runs.loading import load_run
from reformer.runs.recipe_file import read_recipe
from reformer.tasks.document_splits import load_splits
from reformer.tasks.documents.answer import as_json
from reformer.tasks.documents.prediction import predict
from reformer.training.train import InterruptedRunError, train
from tests.contract.golden.cases import LABELLER, MODELS, outputs, processor
from tests.contract.models import AXIAL, ENCODER_DECODER, HEADS, random_ids
from tests.tiny import write_conll
from tests.training.conftest import press_at

NARROW = {"hidden_size": 16, "attention_head_size": 8, "feed_forward_size": 24, "max_position_embeddings": 64}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "labeller": ("token-classification", {"attention_layers": ["local+lsh", "lsh"]}),
    "causal": ("causal-lm", {"attention_layers": ["local", "lsh", "full"], "tie_word_embeddings": True}),
    "encoder-decoder": ("encoder-decoder", ENCODER_DECODER | {"attention_layers": ["local", "lsh"]}),
    "options": (
        "random-field",
        {
            "attention_layers": [["lsh", "local"], "fourier", ["full", "none"], "local"],
            "local_window": [5, 9],
            "shared_query_key": False,
            "score_transform": "polynomial",
            "time_bias_length": 40,
            "time_steps": [1, 3],
            "gated_heads": True,
            "convolution_kernel": 3,
            "projection_kernel": 3,
            "bottleneck_size": 12,
            "embedding_size": 12,
            "fourier_kernel": 9,
            "shortened_layers": [1, 3],
            "shorten_stride": 3,
            "fusion_kernel": 4,
            "fusion_ranges": [2],
            "feed_forward_linear": "circulant",
            "circulant_block": 4,
            "ngram_sizes": [2],
            "ngram_rows": 53,
            "ngram_width": 4,
            "ngram_min_frequency": 2,
            **AXIAL,
            "axial_pos_shape": [8, 8],
            "axial_pos_embds_dim": [6, 10],
        },
    ),
}
"""Heads of `tests.contract.models`, and fields of their configuration."""

LENGTH = 37
TRAIN, TEST = "train.conll", "test.conll"
INTERRUPTED_AT = 9
RECIPE = """\
[data]
train = "train.conll"
test = "test.conll"
max_length = 60
separator = "\\n"
validation_fraction = 0.2

[tokenizer]
kind = "character"
vocab_size = 280
min_frequency = 1

[model]
hidden_size = 8
num_attention_heads = 2
attention_head_size = 4
feed_forward_size = 16
attention_layers = ["local", "lsh"]
local_window = 8
lsh_window = 8
num_buckets = 4
hidden_dropout_prob = 0.1
convolution_kernel = 3
time_bias_length = 64
time_steps = [1, 2]
classifier_random_field = true

[training]
task = "token-classification"
max_steps = 24
learning_rate = 3e-2
warmup_ratio = 0.1
weight_decay = 0.02
batch_tokens = 256
gradient_accumulation = 2
clip = 0.9
average_decay = 0.8
evaluations = 3
early_stopping_patience = 3
answer_types = ["LOC", "PER"]
recombination = 0.2
recombined_types = ["PER"]
log_steps = 2
seed = 3
precision = "float32"
device = "cpu"
num_threads = 1
"""


def write_models() -> None:
    """A model a case, its inputs and its outputs."""
    for number, (name, (head, fields)) in enumerate(CASES.items()):
        torch.manual_seed(number)
        model, folder = HEADS[head].build("local", **{**NARROW, "initializer_range": 0.2, **fields}), MODELS / name
        mask = torch.ones(2, LENGTH, dtype=torch.int64)
        # Models that write go on from the end of what they are given.
        mask[1, slice(0, 15) if model.can_generate() else slice(-15, None)] = 0
        ids = random_ids(2, LENGTH)
        inputs = {"input_ids": ids, "attention_mask": mask}
        inputs |= {key: value.masked_fill(mask == 0, -100) for key, value in HEADS[head].labels(ids).items()}
        model.save_pretrained(folder)
        save_file(inputs, folder / "inputs.safetensors")
        save_file(outputs(model, inputs), folder / "outputs.safetensors", {"processor": processor()})


def write_labeller() -> None:
    """In this folder a recipe, a run of it that was finished, and one that was interrupted; no path leads elsewhere."""
    write_conll(Path(TRAIN), 40)
    write_conll(Path(TEST), 8, seed=1)
    Path("recipe.toml").write_text(RECIPE, encoding="utf-8")
    recipe, quiet = read_recipe("recipe.toml"), Console(quiet=True)
    train(recipe, "finished", console=quiet)
    run = load_run("finished")
    documents = load_splits(recipe.data, recipe.training.seed).test
    answers = [as_json(document, answer) for document, answer in predict(run, documents)]
    Path("answers.json").write_text(json.dumps(answers, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    Path("processor.txt").write_text(processor() + "\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        press_at(patch, INTERRUPTED_AT)
        with pytest.raises(InterruptedRunError):
            train(recipe, "interrupted", console=quiet)
    # Nothing reads these again, and logs and pickled arguments name the machine.
    for pattern in ("*/logs", "*/learning_curve.png", "**/training_args.bin"):
        for path in Path().glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def main() -> None:
    torch.set_num_threads(1)
    for folder in (MODELS, LABELLER):
        shutil.rmtree(folder, ignore_errors=True)
    write_models()
    with tempfile.TemporaryDirectory() as cache, pytest.MonkeyPatch.context() as patch:
        patch.setenv("REFORMER_CACHE", cache)
        LABELLER.mkdir()
        patch.chdir(LABELLER)
        write_labeller()


if __name__ == "__main__":
    main()
