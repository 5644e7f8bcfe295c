"""Two processes that share out the weights, at any level, have the gradients of one with all of them (FSDP2)."""

import itertools
import os
import traceback
import warnings
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from reformer.nn import SubLayer
from tests.contract.models import HEADS, UNDER_EVERY_HEAD, VARIANTS
from tests.processes import in_processes

# Sub-layers that share weights cannot have shards of their own: PyTorch has none for one weight of two modules.
SHARED = "shared"

LEVELS = ("model", "stack", "sub-layers", "sub-layers and model", "functions, sub-layers and model")
OF_EVERY_VARIANT = ("stack", "functions, sub-layers and model")
"""The whole of what a variant changes as one part, and in the smallest parts."""
AT_EVERY_LEVEL = ("lsh", *UNDER_EVERY_HEAD)


def _shard(model: Any, level: str, **options: Any) -> None:
    sublayers = [module for module in model.modules() if isinstance(module, SubLayer)]
    parts = {
        "model": [model],
        "stack": [model.reformer.encoder],
        "sub-layers": sublayers,
        "sub-layers and model": [*sublayers, model],
        "functions, sub-layers and model": [*(each.function for each in sublayers), *sublayers, model],
    }
    for module in parts[level]:
        fully_shard(module, mesh=init_device_mesh("cpu", (2,)), **options)


def _loss(model: Any, head: str, ids: torch.Tensor, passes: int = 1) -> Any:
    return sum(model(input_ids=ids, **HEADS[head].labels(ids)).loss for _ in range(passes))


def _gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {name: getattr(each, "full_tensor", lambda each=each: each)() for name, each in found.items()}


def _model(head: str, variant: str, **options: Any) -> Any:
    torch.manual_seed(1)
    # Evaluation mode fixes the rotations, which are drawn on each process on its own in training.
    return HEADS[head].build(variant, **options)


def _differs(
    rank: int, level: str, head: str, variant: str, passes: int = 1, frozen: int = 0, **options: Any
) -> list[str]:
    """What the gradients of shards differ in."""
    ids = torch.randint(1, 41, (2, 33), generator=torch.Generator().manual_seed(3))
    whole, sharded = (_model(head, variant, **options) for _ in range(2))
    for model in (whole, sharded):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not any(f"sublayers.{number}." in name for number in range(frozen)))
    for part in ids.split(1):
        (_loss(whole, head, part, passes) / 2).backward()
    _shard(sharded, level)
    _loss(sharded, head, ids[rank : rank + 1], passes).backward()
    expected, found = _gradients(whole), _gradients(sharded)
    if expected.keys() != found.keys():
        return [f"gradients of {sorted(expected.keys() ^ found.keys())}"]
    if not level.endswith("model"):
        # What has no shards, and so no reduction, has the gradient of its own part of the batch.
        found = {name: each for name, each in found.items() if "sublayers" in name}
    return [
        f"{name}: {(found[name] - expected[name]).abs().max():.2g}"
        for name in found
        if (found[name] - expected[name]).abs().max() > 1e-5 * expected[name].abs().max().clamp_min(1)
    ]


def _cases():
    for variant, level in itertools.product(VARIANTS, LEVELS):
        if variant != SHARED and (variant in AT_EVERY_LEVEL or level in OF_EVERY_VARIANT):
            yield level, "token-classification", variant, {}
    for level in ("model", "sub-layers", "sub-layers and model"):
        yield level, "encoder-decoder", "local+lsh", {}
    for level in LEVELS:
        yield level, "causal-lm", "mixed", {"passes": 2}
        yield level, "token-classification", "lsh", {"frozen": 2}
        for recompute in (False, "auto"):
            yield level, "token-classification", "post-norm", {"recompute": recompute}
        yield level, "token-classification", "post-norm", {"frozen": 3, "passes": 2}
        yield level, "token-classification", "mixed", {"reversible": False}


def _in_bfloat16(rank: int) -> list[str]:
    """By FSDP's own mixed precision each parameter has a gradient near that of float32."""
    ids = torch.randint(1, 41, (2, 33), generator=torch.Generator().manual_seed(3))
    whole, sharded = (_model("token-classification", "local", initializer_range=0.1) for _ in range(2))
    for part in ids.split(1):
        (_loss(whole, "token-classification", part) / 2).backward()
    _shard(sharded, "sub-layers and model", mp_policy=MixedPrecisionPolicy(torch.bfloat16, torch.float32))
    _loss(sharded, "token-classification", ids[rank : rank + 1]).backward()
    expected, found = _gradients(whole), _gradients(sharded)
    similar = {name: torch.cosine_similarity(expected[name].flatten(), found[name].flatten(), 0) for name in expected}
    return [f"bfloat16 {name}: {each:.3f}" for name, each in similar.items() if each < 0.98]


def _worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    # Nothing is added in place to what a part returns.
    warnings.filterwarnings("ignore", ".*returned a view tensor", UserWarning)
    os.environ.update(MASTER_ADDR="127.0.0.1", RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank))
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    wrong = []
    for level, head, variant, options in _cases():
        try:
            wrong += [
                f"{level}, {variant}, {options}: {each}" for each in _differs(rank, level, head, variant, **options)
            ]
        except Exception:
            wrong.append(f"{level}, {variant}, {options}: {traceback.format_exc()[-1500:]}")
            break
    else:
        wrong += _in_bfloat16(rank)
    torch.save(wrong, f"{folder}/wrong-{rank}.pt")
    dist.destroy_process_group()


def test_shards_have_the_gradients_of_the_whole(tmp_path):
    in_processes(2, _worker, str(tmp_path))
    for rank in range(2):
        assert torch.load(tmp_path / f"wrong-{rank}.pt", weights_only=True) == []


def test_the_models_tell_what_to_shard():
    plan = {"reformer.encoder.sublayers.*": "free_full_weight"}
    assert HEADS["token-classification"].build("lsh").fsdp_plan == plan
    parts = {f"reformer.encoder.{part}.sublayers.*" for part in ("before", "middle", "after")}
    assert HEADS["token-classification"].build("hourglass").fsdp_plan.keys() == parts
    assert HEADS["causal-lm"].build("shared").fsdp_plan == {"reformer.encoder": "free_full_weight"}
    stacks = {f"reformer.{part}.encoder.sublayers.*" for part in ("encoder", "decoder")}
    assert HEADS["encoder-decoder"].build().fsdp_plan.keys() == stacks
