"""Rows divided between processes have the outputs, losses and gradients of whole rows on one."""

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from reformer.parallel import SequenceGroup, parallelize, shard_sequence, sum_gradients
from tests.contract.models import FLATTER, HEADS, VARIANTS, VOCABULARY, plain_twin
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
    batch, model = _batch(case), _model(case)
    expected = _run(plain_twin(model), batch)
    parallelize(model, group)
    lengths = _lengths(case, group.processes)
    part = shard_sequence(batch, group, lengths=lengths)
    found = _run(model, part, lambda: sum_gradients(model, group))
    wrong = [f"only one has {name}" for name in expected.keys() ^ found.keys()]
    begin = sum(lengths[: group.process])
    for name in expected.keys() & found.keys():
        whole, mine = expected[name], found[name]
        if whole.shape != mine.shape:
            whole = whole[:, begin : begin + lengths[group.process]]
        if name in ("logits", "scores", "start_logits", "end_logits") and mine.shape[:2] == part["input_ids"].shape:
            real = part["attention_mask"].bool()
            whole, mine = whole[real], mine[real]
        difference = (mine - whole).abs().max() if mine.numel() else torch.zeros(())
        scale = expected[name].abs()
        scale = scale[scale.isfinite()].max().clamp_min(1) if scale.numel() else 1
        if not difference <= case.bound * scale:
            wrong.append(f"{name} by {difference:.2g} of {scale:.2g}")
    return wrong


def _cases() -> Iterator[Case]:
    for variant in VARIANTS_SERVED:
        for head in ("causal-lm", "token-classification"):
            yield Case(head, variant)
            yield Case(head, variant, FLATTER, dtype=torch.float32, training=True, padded="left")
    for head in HEADS_SERVED:
        yield Case(head, "mixed")


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
    _assert_equal(2, tmp_path, list(_cases()))
