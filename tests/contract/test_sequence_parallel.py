"""Rows divided between processes have the outputs, losses and gradients of whole rows on one."""

import itertools
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from reformer.parallel import SequenceGroup, parallelize, shard_sequence, sum_gradients
from tests.contract.models import HEADS, VARIANTS, VOCABULARY, plain_twin
from tests.processes import in_processes

HEADS_SERVED = [name for name in HEADS if name != "encoder-decoder"]
VARIANTS_SERVED = [name for name in VARIANTS if name not in ("fourier", "hourglass")]


@dataclass(frozen=True)
class Case:
    """A model, rows, and how they are divided."""

    head: str
    variant: str
    options: dict[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.float64
    training: bool = False
    padded: str = "right"
    lengths: str = "unequal"
    length: int = 37

    @property
    def drops(self) -> bool:
        return "hidden_dropout_prob" in self.options

    @property
    def bound(self) -> float:
        return 1e-9 if self.dtype == torch.float64 else 1e-5


def _lengths(case: Case, processes: int) -> list[int]:
    if case.lengths == "equal":
        return [case.length // processes + (number < case.length % processes) for number in range(processes)]
    if case.lengths == "empty":
        return [0] * (processes - 1) + [case.length]
    if case.lengths == "padding":
        # Behind the first ones there is nothing but padding.
        return [case.length - processes + 1] + [1] * (processes - 1)
    first = [3 + number for number in range(processes - 1)]
    return [*first, case.length - sum(first)]


def _batch(case: Case) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(3)
    ids = torch.randint(1, VOCABULARY, (2, case.length), generator=draw)
    mask = torch.ones_like(ids)
    if case.padded == "right":
        mask[1, case.length - 9 :] = 0
    elif case.padded == "left":
        mask[1, :11] = 0
    elif case.padded == "all right":
        mask[:, -7:] = 0
    labels = HEADS[case.head].labels(ids)
    if labels.get("labels", ids).shape == ids.shape and case.head != "multi-label-classification":
        labels = {"labels": labels["labels"].masked_fill(mask == 0, -100)} if "labels" in labels else labels
    return {"input_ids": ids, "attention_mask": mask, **labels}


def _model(case: Case) -> Any:
    torch.manual_seed(1)
    model = HEADS[case.head].build(case.variant, **case.options).to(case.dtype)
    return model.train(case.training)


def _run(model: Any, batch: dict[str, Tensor], finish: Callable[[], None] = lambda: None) -> dict[str, Tensor]:
    torch.manual_seed(7)
    found = model(**batch)
    found.loss.backward()
    finish()
    outputs = {name: each.detach() for name, each in found.items() if isinstance(each, Tensor)}
    return outputs | {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def _differs(case: Case, group: SequenceGroup) -> list[str]:
    """What a model with divided rows gives otherwise than one with whole rows, or with dropout, whose draws are of each
    part, than one that runs no layer again."""
    model, batch, lengths = _model(case), _batch(case), _lengths(case, group.processes)
    part = shard_sequence(batch, group, lengths=lengths)
    twin = plain_twin(model)
    if case.drops:
        parallelize(twin, group)
        expected = _run(twin, part, lambda: sum_gradients(twin, group))
    else:
        expected = _run(twin, batch)
    parallelize(model, group)
    found = _run(model, part, lambda: sum_gradients(model, group))
    wrong = [f"only one has {name}" for name in expected.keys() ^ found.keys()]
    begin = sum(lengths[: group.process])
    for name in expected.keys() & found.keys():
        whole, mine = expected[name], found[name]
        if whole.shape != mine.shape:
            whole = whole[:, begin : begin + lengths[group.process]]
        if name in ("logits", "scores", "start_logits", "end_logits") and mine.shape[:2] == part["input_ids"].shape:
            # What padding gets depends on what stands beside it.
            real = part["attention_mask"].bool()
            whole, mine = whole[real], mine[real]
        scale = expected[name].abs()
        scale = float(scale[scale.isfinite()].max().clamp_min(1)) if scale.numel() else 1.0
        difference = float((mine - whole).abs().max()) if mine.numel() else 0.0
        if not difference <= case.bound * scale:
            wrong.append(f"{name} by {difference:.2g} of {scale:.2g}")
    return wrong


def _every_variant() -> Iterator[Case]:
    for number, variant in enumerate(VARIANTS_SERVED):
        # Layers know no head: one that looks back and one that looks ahead in turn.
        head = ("causal-lm", "token-classification")[number % 2]
        other = ("token-classification", "causal-lm")[number % 2]
        yield Case(head, variant, training=True)
        yield Case(other, variant, {"initializer_range": 0.1}, torch.float32, padded="left")


def _every_head() -> Iterator[Case]:
    for head in HEADS_SERVED:
        yield Case(head, "local+lsh", padded="all right")
    for pooling in ("max", "first"):
        yield Case("sequence-classification", "local", {"classifier_pooling": pooling}, padded="left")
    # Its softmax is in float32 whatever the weights are.
    softmax = {"classifier_pooling": "attention", "initializer_range": 0.1}
    yield Case("sequence-classification", "local", softmax, torch.float32, padded="left")


def _every_division() -> Iterator[Case]:
    for lengths in ("equal", "empty", "padding"):
        yield Case("causal-lm", "projected", lengths=lengths, padded="all right")
        yield Case("token-classification", "shared", lengths=lengths, padded="left")
        yield Case("sequence-classification", "local", {"classifier_pooling": "max"}, lengths=lengths)


def _dropping() -> Iterator[Case]:
    drops = {"hidden_dropout_prob": 0.2, "token_dropout": 0.1, "layer_drop": 0.3}
    for head, variant in (("causal-lm", "mixed"), ("token-classification", "post-norm"), ("random-field", "ngrams")):
        options = {**drops, "ngram_dropout": 0.2} if variant == "ngrams" else drops
        yield Case(head, variant, options, training=True)


def _cases() -> list[Case]:
    return [*_every_variant(), *_every_head(), *_every_division(), *_dropping()]


def _more_cases(processes: int) -> list[Case]:
    """Those for more processes than two, each of which must have a head."""
    enough = {"num_attention_heads": 4, "attention_head_size": 8} if processes > 2 else {}
    return [replace(case, options={**case.options, **enough}) for case in _cases()]


def _worker(rank: int, processes: int, folder: str, cases: list[Case]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=processes)
    wrong, group = [], SequenceGroup()
    for case in cases:
        try:
            wrong += [f"{case}: {each}" for each in _differs(case, group)]
        except Exception:
            wrong.append(f"{case}: {traceback.format_exc()[-1500:]}")
    torch.save(wrong, f"{folder}/wrong-{rank}.pt")
    dist.destroy_process_group()


def _assert_equal(processes: int, folder: Any, cases: list[Case]) -> None:
    in_processes(processes, _worker, processes, str(folder), cases)
    for rank in range(processes):
        assert torch.load(f"{folder}/wrong-{rank}.pt", weights_only=True) == []


def test_two_processes_equal_one(tmp_path):
    _assert_equal(2, tmp_path, _cases())


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 3, 4])
def test_so_many_processes_equal_one(processes, tmp_path):
    _assert_equal(processes, tmp_path, _more_cases(processes))


@pytest.mark.slow
def test_every_head_with_every_variant_in_two_processes(tmp_path):
    pairs = itertools.product(HEADS_SERVED, VARIANTS_SERVED)
    _assert_equal(2, tmp_path, [Case(head, variant, training=True) for head, variant in pairs])
