"""Batches cut into the parts of each row that the processes of a group hold."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from reformer.parallel.group import SequenceGroup

OF_TOKENS = ("input_ids", "attention_mask", "inputs_embeds", "labels", "shift_labels", "added")
"""Arguments of a model with an entry for each token of a row."""


def part_lengths(length: int, parts: int) -> list[int]:
    """How many of `length` tokens each part has: as equal as can be, the first ones longer.

    >>> part_lengths(7, 3)
    [3, 2, 2]
    """
    return [length // parts + (number < length % parts) for number in range(parts)]


def shard_sequence(
    batch: Mapping[str, Any],
    group: SequenceGroup | dist.ProcessGroup | DeviceMesh | None = None,
    *,
    lengths: Sequence[int] | None = None,
    of_tokens: Sequence[str] = OF_TOKENS,
) -> dict[str, Any]:
    """The part of a batch of whole rows that this process holds.

    Args:
        batch: arguments of a model, the same on all processes of the group.
        group: as `parallelize` takes it; None for all processes.
        lengths: how many tokens of each row every process has; as equal as can be if not given. Any may be 0.
        of_tokens: the names of what has an entry for each token, which is cut where it is as long as `input_ids` or
            `inputs_embeds`; everything else, such as the label of a whole document, stays as it is. Leave "labels" out
            where they are several of a document, which may be as many as a row has tokens.

    Raises:
        ValueError: a batch without tokens, or lengths that do not add up to that of its rows.

    Example:
        Of two processes, for rows of five tokens, the first one gets three:

        >>> part_lengths(5, 2)
        [3, 2]
    """
    group = group if isinstance(group, SequenceGroup) else SequenceGroup(group)
    given = batch.get("input_ids")
    given = batch.get("inputs_embeds") if given is None else given
    if given is None:
        raise ValueError(f"a batch of {', '.join(batch)}: expected input_ids or inputs_embeds, whose rows are divided")
    length = given.shape[1]
    lengths = part_lengths(length, group.processes) if lengths is None else list(lengths)
    if len(lengths) != group.processes or sum(lengths) != length or min(lengths) < 0:
        raise ValueError(
            f"lengths={list(lengths)} of {group.processes} parts for rows of {length} tokens: expected one each, which "
            "add up to it"
        )
    begin = sum(lengths[: group.process])
    end = begin + lengths[group.process]

    def is_cut(name: str, value: Any) -> bool:
        return name in of_tokens and isinstance(value, Tensor) and value.dim() > 1 and value.shape[1] == length

    return {name: value[:, begin:end] if is_cut(name, value) else value for name, value in batch.items()}
