"""Weights, gradients and optimizer state of a model sharded between processes (FSDP2)."""

import re

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard


def shard_weights(model: nn.Module, mesh: DeviceMesh | None = None) -> None:
    """Let each process keep its share of every weight, of its gradient and of the optimizer's state alone.

    A sub-layer, or where layers share their weights the whole stack, is gathered while it is run, forward and where a
    reversible layer is run again, and all else while the model is. Gradients are averaged over the processes, as
    `DistributedDataParallel` does. The weights must be equal on all processes. The modules are those of the model's
    `fsdp_plan`, changed in place by `torch.distributed.fsdp.fully_shard`. Source: Zhao et al. 2023.

    Args:
        model: any model of this package, before its optimizer is made.
        mesh: the processes, as one dimension such as `mesh["dp"]`, or two, of which weights are copied along the first
            and sharded along the second; None for all processes.

    Raises:
        ValueError: a module that does not say what of it is to be sharded.
    """
    plan = getattr(model, "fsdp_plan", None)
    if not plan:
        raise ValueError(
            f"{type(model).__name__} has no fsdp_plan, which says what is sharded by itself: expected a model of this "
            "package; call torch.distributed.fsdp.fully_shard on another one's layers and then on itself"
        )
    patterns = [re.compile(re.escape(name).replace(r"\*", r"\d+")) for name in plan]
    found = [(name, module) for name, module in model.named_modules() if any(each.fullmatch(name) for each in patterns)]
    # What is inside of another part comes before it.
    for _, module in sorted(found, key=lambda each: -each[0].count(".")):
        fully_shard(module, mesh=mesh, reshard_after_forward=True)
    # Also of the model itself: an evaluation has no backward pass that would put the shards back.
    fully_shard(model, mesh=mesh, reshard_after_forward=True)
