"""Models told which processes hold parts of their rows, and refused where a part is not enough for them."""

import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh

from reformer.nn.sequence_part import NeedsWholeRows
from reformer.parallel.group import SequenceGroup


def parallelize(model: nn.Module, group: SequenceGroup | dist.ProcessGroup | DeviceMesh | None = None) -> SequenceGroup:
    """Let the processes of a group each hold a part of the tokens of every row that the model is given from now on.

    Outputs and losses are those of one process with whole rows, and so are gradients once `sum_gradients` has added
    them up. The weights, and in training the state of the random numbers, must be equal on all processes.

    Args:
        model: any model of this package, or a module that has one.
        group: a `SequenceGroup`, a process group or one dimension of a `DeviceMesh`, such as `mesh["sp"]`; None for all
            processes.

    Returns:
        the group.

    Raises:
        ValueError: a layer or a head that must have whole rows, each named; fewer heads in every layer than processes;
            a module without a model of this package; no processes that are connected.
    """
    backbones = _backbones(model)
    group = group if isinstance(group, SequenceGroup) else SequenceGroup(group)
    check(model, group.processes)
    for module in backbones:
        module.sequence_group = group  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
    return group


def whole_rows(model: nn.Module) -> None:
    """Undo `parallelize`: the model is given whole rows again."""
    for module in _backbones(model):
        module.sequence_group = None  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]


def _backbones(model: nn.Module) -> list[nn.Module]:
    backbones = [module for module in model.modules() if hasattr(module, "sequence_group")]
    if not backbones:
        raise ValueError(f"{type(model).__name__} has no model of this package, whose rows could be divided")
    return backbones


def check(model: nn.Module, processes: int) -> None:
    """Refuse a model that needs whole rows, or has too few heads for so many processes; see `parallelize`."""
    if processes == 1:
        return
    reasons = [module.why_whole() for module in model.modules() if isinstance(module, NeedsWholeRows)]
    found = list(dict.fromkeys(reason for reason in reasons if reason is not None))
    if found:
        raise ValueError(f"the rows of this model cannot be divided between {processes} processes: {'; '.join(found)}")
    layers = [getattr(getattr(module, "function", None), "head_groups", ()) for module in model.modules()]
    heads = max((sum(group.heads for group in groups) for groups in layers), default=0)
    if 0 < heads < processes:
        raise ValueError(
            f"{heads} heads for {processes} processes, each of which computes whole rows of some of them: expected at "
            f"most {heads} processes, or a model with num_attention_heads={processes} or more"
        )
