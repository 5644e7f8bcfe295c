"""Checkpoints of sharded weights and optimizer state, of which each process writes its own part (DCP).

They are safetensors files that say which part of which tensor they have, so that any number of processes can read them;
PyTorch's own format would have a pickled file beside them.
"""

import copy
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import is_initialized
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.optim import Optimizer

from reformer.models.alignment import aligned

FILE_BYTES = 1 << 27
"""Of all processes' shards of the tensors that go into files of one number."""
_WEIGHTS, _OPTIMIZER = "weights.", "optimizer."


def save_shards(model: nn.Module, optimizer: Optimizer, folder: Path) -> None:
    """Write what this process holds of the weights and of the optimizer's state into the folder; every process calls
    it."""
    state = dict(_weights(model))
    for name, parameter in model.named_parameters():
        values = optimizer.state.get(parameter, {})
        state |= {f"{_OPTIMIZER}{name}.{key}": value for key, value in values.items()}
    writer = HuggingFaceStorageWriter(str(folder), _files(state), save_distributed=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        save(state, storage_writer=writer, no_dist=not is_initialized())


def load_weights(model: nn.Module, folder: Path, *, alone: bool = False) -> None:
    """Read the weights that a checkpoint has, sharded as those of the model are or not at all; every process calls it.

    Args:
        alone: for a model of this process alone.
    """
    _read(dict(_weights(model)), folder, alone=alone)


def load_optimizer(model: nn.Module, optimizer: Optimizer, folder: Path) -> None:
    """Read the optimizer's state that a checkpoint has for each parameter; every process calls it."""
    kept = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    state: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        place = f"{_OPTIMIZER}{name}."
        found = {key.removeprefix(place): value for key, value in kept.items() if key.startswith(place)}
        values = {key: _empty(value, parameter) for key, value in found.items() if "." not in key}
        if values:
            optimizer.state[parameter] = values
        state |= {f"{place}{key}": value for key, value in values.items()}
    _read(state, folder, alone=False)


class Blueprint:
    """A model before its weights are sharded, and what belongs to it, without memory for the weights: what a finished
    run puts the whole weights into.

    Args:
        model: copied as it is.
        others: what refers to parts of the model, copied with it.
    """

    def __init__(self, model: nn.Module, *others: Any) -> None:
        weights = {
            id(each): nn.Parameter(torch.empty_like(each, device="meta"), each.requires_grad)
            for each in model.parameters()
        }
        self._kept = copy.deepcopy((model, *others), weights)

    def filled(self, folder: Path, device: torch.device) -> tuple[Any, ...]:
        """The model with the weights of a checkpoint in the place of none, and the others, in this process alone."""
        model = self._kept[0]
        place: dict[Tensor, nn.Parameter] = {
            each: nn.Parameter(aligned(torch.empty_like(each, device="cpu")), each.requires_grad)
            for each in model.parameters()
        }
        for module in model.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    module._parameters[name] = place[parameter]
        load_weights(model, folder, alone=True)
        model.to(device)
        return self._kept


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and the buffers that are saved, each by the first of its names."""
    seen: set[int] = set()
    for name, value in model.state_dict(keep_vars=True).items():
        if id(value) not in seen:
            seen.add(id(value))
            yield f"{_WEIGHTS}{name}", value


def _files(state: dict[str, Tensor]) -> dict[str, int]:
    """The number of the file that each tensor goes to: what goes into one is held in memory a second time."""
    files: dict[str, int] = {}
    number, size = 1, 0
    for name, value in state.items():
        if size and size + value.nbytes > FILE_BYTES:
            number, size = number + 1, 0
        files[name] = number
        size += value.nbytes
    return files


def _empty(kept: Any, parameter: Tensor) -> Tensor:
    assert isinstance(kept, TensorStorageMetadata)
    if kept.size == parameter.shape:
        return torch.empty_like(parameter, dtype=kept.properties.dtype, requires_grad=False)
    return torch.empty(kept.size, dtype=kept.properties.dtype, device=parameter.device)


def _read(state: dict[str, Tensor], folder: Path, *, alone: bool) -> None:
    # Of parameters the values: they are read in place.
    values = {name: value.detach() for name, value in state.items()}
    with warnings.catch_warnings():
        # What `no_dist` asks for is told as a warning.
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        alone = alone or not is_initialized()
        load(values, storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=alone)
