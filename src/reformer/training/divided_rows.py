"""Rows of a run divided between its processes, as `training.sequence_parallel` asks for."""

from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from transformers import TrainingArguments

from reformer.parallel import SequenceGroup
from reformer.parallel.parallelize import check
from reformer.recipe import Recipe
from reformer.training.processes import ProcessesError


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
