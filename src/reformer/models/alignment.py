"""Alignment of weights in memory: at multiples of 64 bytes, where PyTorch puts every tensor that it makes.

A tensor that was read from a safetensors file lies in the file's mapping, wherever its bytes happen to begin. On some
processors a matrix product rounds differently there, and a loaded model would not be the saved one bit for bit.
"""

from torch import Tensor, nn

ALIGNMENT = 64
"""Bytes of a cache line, and of the widest vector register."""


def aligned(tensor: Tensor) -> Tensor:
    """The tensor itself, or a copy of it if it is not aligned or lies in a file's mapping, which it would keep open.

    Tensors that are not on the CPU stay as they are.
    """
    if tensor.device.type != "cpu":
        return tensor
    # PyTorch can resize what it has allocated itself, and nothing else.
    is_own = tensor.untyped_storage().resizable()
    return tensor if is_own and tensor.data_ptr() % ALIGNMENT == 0 else tensor.clone()


def align(module: nn.Module) -> None:
    """Move the weights and buffers of a module to aligned memory, one after the other.

    Tied parameters stay tied, and beside the module's own memory no more than one tensor is held.
    """
    for parameter in module.parameters():
        parameter.data = aligned(parameter.data)
    copies: dict[int, Tensor] = {}
    for submodule in module.modules():
        for name, buffer in submodule.named_buffers(recurse=False):
            # A buffer may be a view, whose base would keep the file's mapping if its data alone were replaced.
            if id(buffer) not in copies:
                copies[id(buffer)] = aligned(buffer)
            setattr(submodule, name, copies[id(buffer)])
