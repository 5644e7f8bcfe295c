"""Group of processes that hold parts of the same rows: where a pass begins, and what all of them must share."""

import zlib
from contextlib import AbstractContextManager

import torch
import torch.distributed as dist
from jaxtyping import Bool
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from reformer.nn import sequence_part
from reformer.ops.draws import drawing_for_part, generator
from reformer.parallel.collectives import Collectives
from reformer.parallel.part import Part


class SequenceGroup(sequence_part.SequenceGroup):
    """Processes that hold neighbouring parts of the same rows, in the order of their numbers in the group.

    Args:
        group: a process group, a dimension of a `DeviceMesh` such as `mesh["sp"]`, or None for all processes.

    Raises:
        ValueError: a mesh of several dimensions, or no process group has been begun.
    """

    def __init__(self, group: dist.ProcessGroup | DeviceMesh | None = None) -> None:
        if not dist.is_initialized():
            raise ValueError(
                "no process group: call torch.distributed.init_process_group first, in each of the processes"
            )
        if isinstance(group, DeviceMesh):
            if group.ndim != 1:
                raise ValueError(
                    f"a mesh of {group.ndim} dimensions {group.mesh_dim_names}: give the one along which rows are "
                    'divided, such as mesh["sp"]'
                )
            group = group.get_group()
        self.collectives = Collectives(dist.group.WORLD if group is None else group)  # pyright: ignore[reportArgumentType]

    @property
    def process(self) -> int:
        return self.collectives.process

    @property
    def processes(self) -> int:
        return self.collectives.processes

    @property
    def sent(self) -> dict[str, int]:
        """Bytes that this process has sent to the others, by what for; see `docs/math.md`, equations 55 to 57."""
        return self.collectives.sent

    def drawing(self) -> AbstractContextManager[None]:
        """See `reformer.nn.sequence_part.SequenceGroup`."""
        return drawing_for_part(self.process)

    def __deepcopy__(self, memo: object) -> "SequenceGroup":
        # A copy of a model is run by the same processes.
        return self

    def begin(self, mask: Bool[Tensor, "batch length"], *, training: bool) -> tuple[Part, Bool[Tensor, "batch all"]]:
        """See `reformer.nn.sequence_part.SequenceGroup`."""
        if torch.compiler.is_compiling():
            raise ValueError(
                "a compiled model with rows divided between processes: run it as it is, without torch.compile"
            )
        told = torch.tensor([mask.shape[1], mask.shape[0], _state(mask.device) if training else 0])
        every = self.collectives.gather("mask", told.to(mask.device)[None], [1] * self.processes).tolist()
        lengths, batches, states = zip(*every, strict=True)
        if len(set(batches)) > 1:
            raise ValueError(f"parts of {list(batches)} rows on the processes of one group: expected as many on each")
        if len(set(states)) > 1:
            raise ValueError(
                "the processes that hold parts of the same rows would draw different random numbers: begin with "
                "torch.manual_seed of one number on all of them, and draw the same ones"
            )
        part = Part(self.collectives, tuple(lengths))
        rows = self.collectives.gather("mask", mask.T, part.lengths).T.contiguous()
        if _has_gaps(rows):
            raise ValueError(
                "padding between real tokens of a row: where rows are divided between processes it stands at their "
                "ends alone; shard_sequence divides them so"
            )
        return part, rows


def _state(device: torch.device) -> int:
    """A number that tells apart the states of the generators that a pass in training draws from."""
    states = [(generator() or torch.default_generator).get_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return zlib.crc32(b"".join(state.numpy().tobytes() for state in states))


def _has_gaps(real: Bool[Tensor, "batch length"]) -> bool:
    """Whether padding stands between real tokens: in more than one place a real token follows what is none."""
    before = torch.nn.functional.pad(real[:, :-1], (1, 0))
    return bool(((real & ~before).sum(1) > 1).any())
