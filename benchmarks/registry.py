"""Every case by its name."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.case import Case, Contender
from benchmarks.contenders import copy_reverse
from benchmarks.contenders.byte_lm import byte_lm
from benchmarks.contenders.crf import crf
from benchmarks.contenders.decoding import decoding
from benchmarks.contenders.duplication import EVALUATED_WITH, trained_with
from benchmarks.contenders.fine_tuning import DATA, fine_tuning
from benchmarks.contenders.forecasting import SERIES, forecasting
from benchmarks.contenders.fourier import feed_forward, long_filters
from benchmarks.contenders.hash_quality import KINDS as HASHES
from benchmarks.contenders.hash_quality import STAGES, hash_quality
from benchmarks.contenders.language_models import (
    full_model,
    hashed_model,
    million_model,
    one_stream_model,
    training_step,
    transformers_model,
)
from benchmarks.contenders.long_reading import LENGTHS as TEXT_LENGTHS
from benchmarks.contenders.long_reading import MANNERS, long_reading
from benchmarks.contenders.options import OPTIONS, by_hand, option
from benchmarks.contenders.ours import attend_only, ours, parts
from benchmarks.contenders.peers import full, reformer_pytorch_lsh, transformers_lsh
from benchmarks.contenders.products import gpu_limits, machine_products
from benchmarks.contenders.seen_weight import SIGHTS, seen_weight
from benchmarks.contenders.sharing import sharers
from benchmarks.contenders.streaming import pieced, reading
from benchmarks.contenders.synthetic import KINDS, TASKS, synthetic
from benchmarks.contenders.translation import MODELS, translation
from benchmarks.gpu.contenders import ACTIONS, gpu_attention
from benchmarks.gpu.preparation import KERNELS, kernel_contracts, tiles
from benchmarks.machine import ROOT

KILO, MILLION = 1 << 10, 1 << 20
BOTH = ("forward", "forward+backward")
LENGTHS = [KILO, 4 * KILO, 16 * KILO, 64 * KILO, 256 * KILO, MILLION]


QUESTIONS = {
    "attention": "How long does one attention over a sequence take, and how much memory?",
    "attention-bf16": "What does bfloat16 save in the forward pass?",
    "hashing": "Where does the time go, and how near is the attention to the machine's matrix products?",
    "scaling": "Does the time per token grow with the length?",
    "training-step": "How many tokens a second does a whole model train on, and in how much memory?",
    "threads": "What does a second thread bring a small model, alone and beside a busy process?",
    "eager": "How fast is it where nothing could be compiled?",
    "fourier": "What do Fourier transforms save over the dense forms of long filters and of the feed-forward?",
    "crossover": "From which length on is hashed attention faster than full attention?",
    "depth": "How does the memory of training grow with the number of layers?",
    "depth-64k": "How does the memory of training on 64k tokens grow with the number of layers?",
    "depth-one-stream": "How does the memory of training grow with the layers of a model that cannot be reversed?",
    "length": "How does the memory of training grow with the length?",
    "million": "What does a training step on one sequence of a million tokens take?",
    "decoding": "Does a new token take longer the more there was before it?",
    "streaming": "How fast is a stream read, and does its memory grow with what was read?",
    "pieces": "Does it matter in what pieces a stream of 64k tokens is read?",
    "duplication": "With which attention is the duplication task learned, and with which is it then solved?",
    "synthetic": "What can each attention reach: the next number, a copy half a sequence back, a needle in a haystack?",
    "hash-quality": "Does a hashed layer do anything, on labelling, language modelling, copying and finding a needle?",
    "copy-reverse": "Does an encoder-decoder with a hashed encoder copy and reverse long sequences?",
    "translation": "Does the reversible, hashed model translate as well as a plain Transformer of its size and steps?",
    "options": "What does each option cost in a training step, what does it give a small byte model, and is off free?",
    "byte-lm": "How well does each attention model Wikipedia after as many bytes, and where does its reach matter?",
    "forecasting": "How near do forecasts of 96 hours come, beside the last day, the last week and a linear model?",
    "fine-tuning": "What does each way to fine-tune a labeller cost and give, on its own newspaper and on reviews?",
    "reading": "Does length pay: long documents in pieces, by windows, by windows and hashes, or by full attention?",
    "seen-weight": "How much of a pretrained encoder's full attention do windows, special tokens and hashes see?",
    "crf": "What F1 has a linear-chain conditional random field on the newspaper?",
    "gpu-contract": "Do the kernels do on this GPU what the definition says?",
    "gpu-tiles": "Which tilings of the kernels are the fastest on this GPU?",
    "gpu-attention": "How long does one attention over a sequence take on a GPU?",
    "gpu-training-step": "What does a training step on up to four million tokens take on a GPU?",
    "gpu-streaming": "How fast is a stream of a billion tokens read on a GPU?",
}
"""The question that each case answers."""


def _steps(tokens: int | None = None, mark: str = "", long: bool = False) -> list[Contender]:
    """A training step of everybody whose memory is compared; without full attention where it would take too long."""
    ours_too = [
        training_step(f"ours{mark}", "ours", hashed_model, tokens=tokens),
        training_step(f"ours, not reversible{mark}", "plain", partial(hashed_model, reversible=False), tokens=tokens),
        training_step(f"transformers{mark}", "transformers", transformers_model, must_be_causal=False, tokens=tokens),
    ]
    plain, checkpointed = (
        partial(full_model, reversible=False, checkpointed=checkpointed) for checkpointed in (False, True)
    )
    if long:
        return ours_too
    return [
        *ours_too,
        training_step(f"full attention{mark}", "full", plain, tokens=tokens),
        training_step(f"full attention, checkpointed{mark}", "checkpointed", checkpointed, tokens=tokens),
    ]


def _case(name: str, contenders: Sequence[Contender], *shape: Any, **options: Any) -> Case:
    """A case by its actions, its lengths in full, and those for a short look."""
    return Case(name, QUESTIONS[name], contenders, *shape, **options)


_training = partial(_case, warm_up=None, alone=True, apart=True, turns=1)
"""A case that takes minutes and is measured once."""

_growth = partial(_case, alone=True, apart=True, turns=1)
"""Memory and time of one training step."""

_on_gpu = partial(_case, device="cuda", requires="gpu-contract")

_CASES = (
    _case(
        "attention",
        [
            ours("ours", rounds=1, longest={"forward": MILLION, "forward+backward": 256 * KILO}),
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
        LENGTHS,
        LENGTHS[:2],
    ),
    _case(
        "attention-bf16",
        [
            ours("ours, float32", rounds=1, actions=attend_only),
            ours("ours, bfloat16", rounds=1, dtype=torch.bfloat16, actions=attend_only),
            *machine_products([torch.float32, torch.bfloat16]),
        ],
        ("forward", "attend", "product"),
        LENGTHS[1:4],
        LENGTHS[1:2],
    ),
    _case(
        "hashing",
        [
            ours("ours", rounds=1, actions=parts),
            ours("ours, 4 rounds", rounds=4, actions=parts),
            ours("ours in plain PyTorch", rounds=1, backend="eager", actions=parts),
            *machine_products(),
        ],
        ("hash", "order", "attend", "attend backward", "product"),
        LENGTHS[1:4],
        LENGTHS[1:2],
    ),
    _case(
        "scaling",
        [
            ours("ours, 8 heads", rounds=1, longest={"forward": MILLION, "forward+backward": 256 * KILO}),
            ours("ours, 2 heads", rounds=1, heads=2),
        ],
        BOTH,
        LENGTHS[2:],
        LENGTHS[1:3],
    ),
    _case(
        "training-step",
        [
            training_step("ours", "ours", hashed_model),
            training_step("ours, bfloat16 autocast", "ours", hashed_model, bfloat16=True),
            training_step("transformers", "transformers", transformers_model, must_be_causal=False),
            *(
                training_step(name, "full", partial(full_model, reversible=reversible), longest=16 * KILO)
                for name, reversible in (("full attention", False), ("full attention, reversible", True))
            ),
        ],
        ("step",),
        LENGTHS[1:4],
        LENGTHS[:1],
    ),
    _case(
        "threads",
        list(sharers()),
        ("step",),
        [1],
        [1],
        "batch",
        warm_up=None,
        alone=True,
    ),
    _case(
        "eager",
        [ours("ours in plain PyTorch", rounds=1, backend="eager"), transformers_lsh("transformers", rounds=1)],
        BOTH,
        LENGTHS[1:3],
        LENGTHS[1:2],
    ),
    _case(
        "fourier",
        [
            long_filters("256 lags, by transforms", "ours", 256),
            long_filters("256 lags, direct", "direct", 256, direct=True, longest=4 * KILO),
            long_filters("4,096 lags, by transforms", "ours", 4 * KILO),
            long_filters("4,096 lags, direct", "direct", 4 * KILO, direct=True, longest=KILO),
            feed_forward("feed-forward, dense", "dense", 0),
            feed_forward("feed-forward, circulant blocks of 8", "circulant", 8),
            feed_forward("feed-forward, circulant blocks of 64", "circulant", 64),
        ],
        BOTH,
        LENGTHS[:3],
        LENGTHS[:1],
    ),
    _case(
        "crossover",
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
    _growth("depth", _steps(16 * KILO, ", 16k"), ("step",), [4, 6, 12, 24, 48], [2, 4], "layers", warm_up=2),
    _growth("depth-64k", _steps(64 * KILO, ", 64k", long=True), ("step",), [6, 12, 24], [2], "layers", warm_up=2),
    _growth(
        "depth-one-stream",
        [
            training_step("reversible, 16k", "reversible", hashed_model, tokens=16 * KILO),
            training_step(
                "one stream, run again, 16k", "again", partial(one_stream_model, recompute=True), tokens=16 * KILO
            ),
            training_step("one stream, 16k", "kept", partial(one_stream_model, recompute=False), tokens=16 * KILO),
        ],
        ("step",),
        [6, 12, 24, 48],
        [2],
        "layers",
        warm_up=2,
    ),
    _growth("length", _steps(), ("step",), LENGTHS[1:], [KILO, 2 * KILO]),
    _case(
        "million",
        [
            training_step("ours", "ours", million_model),
            training_step("ours, bfloat16 autocast", "ours", million_model, bfloat16=True),
        ],
        ("step",),
        LENGTHS[2:],
        LENGTHS[1:3],
        warm_up=4 * KILO,
        alone=True,
        apart=True,
    ),
    _case(
        "decoding",
        [
            decoding("ours", "ours", ["local", "lsh"] * 3),
            decoding("ours, local+lsh", "ours", ["local+lsh"] * 6),
            decoding("full attention", "full", ["full"] * 6, longest=64 * KILO),
        ],
        ("token",),
        LENGTHS[:5],
        LENGTHS[:2],
        alone=True,
        apart=True,
    ),
    _case(
        "streaming",
        [reading("ours, 2 layers of 32")],
        ("read",),
        [10**5, 10**6, 10**7, 10**8, 10**9],
        [10**5, 10**6],
        warm_up=10**5,
        # The longest takes an hour.
        limit=7200,
        alone=True,
        apart=True,
    ),
    _training(
        "pieces",
        [pieced("ours, 2 layers of 32")],
        ("compare",),
        [1, 7, 1000, 16384],
        [1000],
        "tokens a piece",
        grows=False,
    ),
    _training(
        "duplication", [trained_with(kind) for kind in EVALUATED_WITH if kind != "LSH-8"], ("train",), [256], [64]
    ),
    _training("synthetic", [synthetic(task, kind) for task in TASKS for kind in KINDS], ("train",), [4 * KILO], [128]),
    _training(
        "hash-quality",
        [hash_quality(task, kind) for task in STAGES for kind in HASHES],
        ("train",),
        [16 * KILO],
        [KILO],
    ),
    _training(
        "copy-reverse",
        [copy_reverse.copy_reverse(task, kind) for kind in copy_reverse.KINDS for task in copy_reverse.TASKS],
        ("train",),
        [1000],
        [64],
    ),
    _training("translation", [], ("train",), [1500], [60], "training steps"),
    _case(
        "options",
        [by_hand(), *(option(name) for name in OPTIONS)],
        ("step", "train"),
        [KILO],
        [128],
        warm_up=None,
        alone=True,
    ),
    _training("byte-lm", [byte_lm(kind) for kind in KINDS], ("train",), [4 * KILO], [256]),
    _training(
        "forecasting",
        [contender for series in SERIES for contender in forecasting(series)],
        ("train",),
        [120],
        [4],
        "training steps",
    ),
    _training(
        "fine-tuning",
        [contender for data in DATA for contender in fine_tuning(data)],
        ("step", "train"),
        [80],
        [2],
        "training steps",
    ),
    _case(
        "reading",
        [contender for family in MANNERS for contender in long_reading(family)],
        ("train", "score", "read"),
        TEXT_LENGTHS,
        [600],
        warm_up=None,
        alone=True,
        apart=True,
        turns=3,
    ),
    _case(
        "seen-weight",
        [seen_weight(name) for name in SIGHTS],
        ("measure",),
        [512],
        [128],
        warm_up=None,
        alone=True,
        turns=1,
    ),
    _case(
        "crf",
        [crf("sklearn-crfsuite")],
        ("train", "label"),
        [100_000],
        [200],
        "paragraphs",
        warm_up=None,
        alone=True,
        turns=1,
    ),
    _case("gpu-contract", kernel_contracts(), (), [], [], device="cuda"),
    _on_gpu("gpu-tiles", [tiles()], KERNELS, [64 * KILO], [4 * KILO], warm_up=None, turns=1),
    _on_gpu(
        "gpu-attention",
        [*gpu_attention(), *gpu_limits(4 * KILO)],
        (*ACTIONS, "product", "copy"),
        LENGTHS[1:],
        LENGTHS[1:2],
        apart=True,
        limit=120,
    ),
    _on_gpu(
        "gpu-training-step",
        [training_step("ours, training step", "ours", million_model, bfloat16=True)],
        ("step",),
        [64 * KILO, MILLION, 4 * MILLION],
        [4 * KILO],
        apart=True,
        limit=120,
    ),
    _on_gpu(
        "gpu-streaming",
        [reading("ours, 2 layers of 32", MILLION, ROOT / "build" / "benchmarks" / "gpu-stream.safetensors")],
        ("read",),
        [10**9],
        [10**7],
        warm_up=None,
        apart=True,
        turns=1,
    ),
)


def cases(pairs: Path | None = None) -> dict[str, Case]:
    """All cases, with the file of pairs of texts that `translation` needs."""
    given = {"translation": [translation(name, pairs) for name in MODELS]}
    return {case.name: replace(case, contenders=given.get(case.name, case.contenders)) for case in _CASES}


CASES = cases()
