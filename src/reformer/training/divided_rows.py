"""Rows of a run divided between its processes, as `training.sequence_parallel` asks for."""

import os

from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from transformers import TrainingArguments

from reformer.errors import ReformerError
from reformer.parallel import SequenceGroup
from reformer.parallel.parallelize import check
from reformer.recipe import Recipe


class ProcessesError(ReformerError):
    """The processes that were begun cannot run the recipe; each of them finds the same, and the first one says it."""

    on_every_process = True


def check_processes(recipe: Recipe) -> None:
    """Refuse a number of processes that rows cannot be divided between, before these are connected.

    Raises:
        ProcessesError: it is no multiple of `training.sequence_parallel`.
    """
    asked, begun = recipe.training.sequence_parallel, int(os.environ.get("WORLD_SIZE", "1"))
    if begun % asked:
        raise ProcessesError(
            f"training.sequence_parallel = {asked} in {begun} process{'es' * (begun > 1)}: expected a multiple of it; "
            f"begin with torchrun --nproc-per-node {asked} -m reformer train ..., or leave it out"
        )


def check_model(recipe: Recipe, model: nn.Module) -> None:
    """Refuse a model whose rows cannot be divided.

    Raises:
        ProcessesError: what in it must have whole rows, or that it has too few heads.
    """
    try:
        check(model, recipe.training.sequence_parallel)
    except ValueError as error:
        raise ProcessesError(f"training.sequence_parallel = {recipe.training.sequence_parallel}: {error}") from error


def sequence_group(recipe: Recipe, arguments: TrainingArguments) -> SequenceGroup | None:
    """The processes that hold the same rows as this one, neighbours in number; None where each has rows of its own."""
    asked = recipe.training.sequence_parallel
    if asked == 1:
        return None
    sizes = (distributed.get_world_size() // asked, asked)
    mesh = init_device_mesh(arguments.device.type, sizes, mesh_dim_names=("rows", "parts"))
    return SequenceGroup(mesh["parts"])
