"""Every case by its name."""

from functools import partial

import torch

from benchmarks.case import Case
from benchmarks.contenders.crf import crf
from benchmarks.contenders.full import full
from benchmarks.contenders.language_models import full_model, hashed_model, training_step, transformers_model
from benchmarks.contenders.ours import attend_only, ours, parts
from benchmarks.contenders.products import machine_products
from benchmarks.contenders.reformer_pytorch_lsh import reformer_pytorch_lsh
from benchmarks.contenders.transformers_lsh import transformers_lsh

KILO = 1024
BOTH = ("forward", "forward+backward")

_CASES = (
    Case(
        "attention",
        "How long does one attention over a sequence take, and how much memory?",
        [
            ours("ours", rounds=1, longest={"forward": 1024 * KILO, "forward+backward": 256 * KILO}),
            ours("ours, 4 rounds", rounds=4, longest=64 * KILO),
            ours("ours in plain PyTorch", rounds=1, backend="eager", longest=64 * KILO),
            ours("ours in plain PyTorch, 4 rounds", rounds=4, backend="eager", longest=16 * KILO),
            transformers_lsh("transformers", rounds=1, longest=64 * KILO),
            transformers_lsh("transformers, 4 rounds", rounds=4, longest=16 * KILO),
            reformer_pytorch_lsh("reformer-pytorch", rounds=1, longest=64 * KILO),
            reformer_pytorch_lsh("reformer-pytorch, 4 rounds", rounds=4, longest=16 * KILO),
            full("full attention", longest=64 * KILO),
        ],
        BOTH,
        [KILO, 4 * KILO, 16 * KILO, 64 * KILO, 256 * KILO, 1024 * KILO],
        [KILO, 4 * KILO],
    ),
    Case(
        "attention-bf16",
        "What does bfloat16 save in the forward pass?",
        [
            ours("ours, float32", rounds=1, actions=attend_only),
            ours("ours, bfloat16", rounds=1, dtype=torch.bfloat16, actions=attend_only),
            *machine_products([torch.float32, torch.bfloat16]),
        ],
        ("forward", "attend", "product"),
        [4 * KILO, 16 * KILO, 64 * KILO],
        [4 * KILO],
    ),
    Case(
        "hashing",
        "Where does the time go, and how near is the attention to the machine's matrix products?",
        [
            ours("ours", rounds=1, actions=parts),
            ours("ours, 4 rounds", rounds=4, actions=parts),
            ours("ours in plain PyTorch", rounds=1, backend="eager", actions=parts),
            *machine_products(),
        ],
        ("hash", "order", "normalise", "attend", "attend backward", "product"),
        [4 * KILO, 16 * KILO, 64 * KILO],
        [4 * KILO],
    ),
    Case(
        "scaling",
        "Does the time per token grow with the length?",
        [
            ours("ours, 8 heads", rounds=1, longest={"forward": 1024 * KILO, "forward+backward": 256 * KILO}),
            ours("ours, 2 heads", rounds=1, heads=2),
        ],
        BOTH,
        [16 * KILO, 64 * KILO, 256 * KILO, 1024 * KILO],
        [4 * KILO, 16 * KILO],
    ),
    Case(
        "training-step",
        "How many tokens a second does a whole model train on, and in how much memory?",
        [
            training_step("ours", "ours", hashed_model),
            training_step("ours, bfloat16 autocast", "ours", hashed_model, bfloat16=True),
            training_step("transformers", "transformers", transformers_model, must_be_causal=False),
            training_step("full attention", "full", partial(full_model, reversible=False), longest=16 * KILO),
            training_step(
                "full attention, reversible", "full", partial(full_model, reversible=True), longest=16 * KILO
            ),
        ],
        ("step",),
        [4 * KILO, 16 * KILO, 64 * KILO],
        [KILO],
    ),
    Case(
        "eager",
        "How fast is it where nothing could be compiled?",
        [
            ours("ours in plain PyTorch", rounds=1, backend="eager"),
            transformers_lsh("transformers", rounds=1),
        ],
        BOTH,
        [4 * KILO, 16 * KILO],
        [4 * KILO],
    ),
    Case(
        "crossover",
        "From which length on is hashed attention faster than full attention?",
        [
            ours("ours", rounds=1),
            ours("ours, 2 rounds", rounds=2),
            ours("ours, 4 rounds", rounds=4),
            full("full attention"),
        ],
        BOTH,
        [128, 256, 512, KILO, 2 * KILO, 4 * KILO],
        [128, 512, 2 * KILO],
        warm_up=128,
    ),
    Case(
        "crf",
        "What F1 has a linear-chain conditional random field on the newspaper?",
        [crf("sklearn-crfsuite")],
        ("train", "label"),
        [100_000],
        [200],
        warm_up=None,
        alone=True,
    ),
)

CASES = {case.name: case for case in _CASES}
"""Lengths are tokens; of `crf`, the most paragraphs that are read of each split."""
