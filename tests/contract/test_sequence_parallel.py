"""Rows divided between processes have the outputs, losses and gradients of whole rows on one."""

import itertools
import os
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from reformer.insight.doctor.gradients import plain_twin
from reformer.nn import SubLayer
from reformer.parallel import SequenceGroup, parallelize, shard_sequence, sum_gradients
from tests.contract.models import HEADS, SMALL, VARIANTS, VOCABULARY
from tests.processes import in_processes

Check = Callable[[SequenceGroup], list[str]]

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


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("position_ids", {"position_ids": torch.arange(8)[None]}),
    ("use_cache", {"use_cache": True}),
    ("logits_to_keep", {"logits_to_keep": 1}),
    ("padding between real tokens", {"attention_mask": torch.tensor([[1, 1, 0, 1, 1, 1, 1, 1]])}),
    ("attention_mask has shape", {"attention_mask": torch.ones(1, 9)}),
]


def _takes(group: SequenceGroup) -> list[str]:
    """What was not refused, or not in such words, of calls that the parts of rows make no sense of."""
    model, wrong = HEADS["causal-lm"].build("local"), []
    parallelize(model, group)
    ids = torch.ones(1, 8, dtype=torch.int64)
    calls = [(words, {"input_ids": ids, **given}) for words, given in REFUSED]
    calls.append(("random numbers", {"input_ids": ids}))
    calls.append(("rows on the processes", {"input_ids": ids.expand(1 + group.process, -1)}))
    for words, call in calls:
        model.train(words == "random numbers")
        torch.manual_seed(group.process)
        try:
            model(**call)
        except ValueError as error:
            if words in str(error):
                continue
            wrong.append(f"{words}: {error}")
        else:
            wrong.append(f"{words} is taken")
    torch.manual_seed(0)
    return wrong


def _sharded(group: SequenceGroup) -> list[str]:
    """What differs where FSDP2 shards the weights along another dimension of the mesh."""
    mesh = init_device_mesh("cpu", (dist.get_world_size() // 2, 2), mesh_dim_names=("dp", "sp"))
    wrong = []
    for variant in ("mixed", "post-norm"):
        case = Case("causal-lm", variant, training=True)
        batches = [{name: each[row : row + 1] for name, each in _batch(case).items()} for row in range(2)]
        whole, model = plain_twin(_model(case)), _model(case)
        replicas = mesh["dp"].size()
        expected: dict[str, Tensor] = {}
        for batch in batches[:replicas]:
            for name, each in _run(whole, batch).items():
                expected[name] = each / replicas if each.dim() else each
        for module in [module for module in model.modules() if isinstance(module, SubLayer)]:
            fully_shard(module, mesh=mesh["dp"])
        fully_shard(model, mesh=mesh["dp"])
        found = parallelize(model, mesh["sp"])
        part = shard_sequence(batches[mesh["dp"].get_local_rank()], found)
        gradients = _run(model, part, lambda model=model, found=found: sum_gradients(model, found))
        for name in dict(model.named_parameters()).keys() & gradients.keys():
            difference = float((gradients[name].full_tensor() - expected[name]).abs().max())  # pyright: ignore
            if not difference < 1e-9:
                wrong.append(f"{variant}, {name} by {difference:.2g}")
    return wrong


def _counts(group: SequenceGroup) -> list[str]:
    """What is counted as sent otherwise than `docs/math.md`, equations 55 to 57, has it."""
    wrong, processes, tokens = [], group.processes, 8
    heads, dim, kernel, window, rounds = 4, 8, 3, 3, 2
    sizes = {"num_attention_heads": heads, "attention_head_size": dim, "local_window": window, "num_rounds": rounds}
    for kinds, keys in ((["full"], 4), (["lsh"], 4), (["full"], 2), (["local"], 4)):
        options = {"num_key_value_heads": keys, "shared_query_key": keys == heads, "convolution_kernel": kernel}
        for reversible in (False, True):
            model = HEADS["causal-lm"].build("full", **sizes, **options, attention_layers=kinds, reversible=reversible)
            parallelize(model, group)
            group.sent.clear()
            ids = torch.ones(1, tokens, dtype=torch.int64)
            model(input_ids=ids, labels=ids).loss.backward()
            passes = 3 if reversible else 2
            projected = heads + keys if kinds == ["lsh"] else heads + 2 * keys
            whole = passes * (projected + heads) * dim * 4 * tokens * (processes - 1) // processes
            if kinds == ["lsh"]:
                whole += 2 * rounds * heads * tokens * (processes - 1) // processes
            # The last part is no one's neighbour ahead of it, and only gets gradients back.
            ahead, behind = group.process < processes - 1, group.process > 0
            rows = (passes - 1) * ahead + behind
            near = rows * (kernel - 1) * SMALL["hidden_size"] * 4
            if kinds == ["local"]:
                whole, near = 0, near + rows * 2 * keys * dim * (window - 1) * 4
            label = 8 * behind
            sent = {"heads": whole, "neighbours": near + label}
            found = {name: group.sent.get(name, 0) for name in sent}
            if found != sent:
                wrong.append(f"{kinds}, {keys} heads of keys, {reversible=}: {found}, not {sent}")
    return wrong


def _worker(rank: int, processes: int, folder: str, cases: list[Case], further: Sequence[Check] = ()) -> None:
    torch.set_num_threads(1)
    # Nothing is added in place to what a part returns.
    warnings.filterwarnings("ignore", ".*returned a view tensor", UserWarning)
    os.environ.update(MASTER_ADDR="127.0.0.1", RANK=str(rank), WORLD_SIZE=str(processes), LOCAL_RANK=str(rank))
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=processes)
    wrong, group = [], SequenceGroup()
    checks = [(str(case), partial(_differs, case)) for case in cases] + [(each.__name__, each) for each in further]
    for name, check in checks:
        try:
            wrong += [f"{name}: {each}" for each in check(group)]
        except Exception:
            wrong.append(f"{name}: {traceback.format_exc()[-1500:]}")
    torch.save(wrong, f"{folder}/wrong-{rank}.pt")
    dist.destroy_process_group()


def _assert_equal(processes: int, folder: Any, cases: list[Case], further: Sequence[Check] = ()) -> None:
    in_processes(processes, _worker, processes, str(folder), cases, further)
    for rank in range(processes):
        assert torch.load(f"{folder}/wrong-{rank}.pt", weights_only=True) == []


def test_two_processes_equal_one(tmp_path):
    _assert_equal(2, tmp_path, _cases(), [_takes, _counts, _sharded])


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("processes", [1, 3, 4])
def test_so_many_processes_equal_one(processes, tmp_path):
    _assert_equal(processes, tmp_path, _more_cases(processes))


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_every_head_with_every_variant_in_two_processes(tmp_path):
    pairs = itertools.product(HEADS_SERVED, VARIANTS_SERVED)
    _assert_equal(2, tmp_path, [Case(head, variant, training=True) for head, variant in pairs])


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_two_rows_in_two_parts_each(tmp_path):
    _assert_equal(4, tmp_path, [], [_sharded])
