"""Gradients of parameters added up over the processes that hold parts of the same rows."""

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from reformer.parallel.group import SequenceGroup

BUCKET_BYTES = 1 << 25
"""Gradients that are sent together, about."""


@torch.no_grad()
def sum_gradients(model: nn.Module, group: SequenceGroup) -> None:
    """Add up the gradients of all processes of the group, in place: those of one process with whole rows.

    To be called after the backward pass and before gradients are clipped or used, on every process. Where
    `DistributedDataParallel` or FSDP2 average gradients over all processes, those of the group among them, multiply the
    loss by their number in place of this.

    Args:
        model: what `parallelize` was given.
        group: what it returned.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if group.processes == 1 or not trained:
        return
    device = trained[0].device
    has = torch.tensor([parameter.grad is not None for parameter in trained], dtype=torch.int32, device=device)
    found = [
        parameter
        for parameter, some in zip(trained, group.collectives.sum("gradients", has).tolist(), strict=True)
        if some
    ]
    for parameter in found:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    bucket: list[torch.Tensor] = []
    for gradient in (_local(parameter) for parameter in found):
        if bucket and (bucket[0].dtype != gradient.dtype or sum(each.nbytes for each in bucket) >= BUCKET_BYTES):
            _sum_together(bucket, group)
            bucket = []
        bucket.append(gradient)
    _sum_together(bucket, group)


def _local(parameter: nn.Parameter) -> torch.Tensor:
    """The gradient; of a parameter that FSDP2 has sharded along another dimension of a mesh, its shard."""
    gradient = parameter.grad
    assert gradient is not None
    return gradient.to_local() if isinstance(gradient, DTensor) else gradient


def _sum_together(gradients: list[torch.Tensor], group: SequenceGroup) -> None:
    if not gradients:
        return
    total = group.collectives.sum("gradients", torch.cat([each.reshape(-1) for each in gradients]))
    for gradient, part in zip(gradients, total.split([each.numel() for each in gradients]), strict=True):
        gradient.copy_(part.view(gradient.shape))
