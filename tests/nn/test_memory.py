"""Memory of a sub-layer: its parts, and its order in a batch."""

import torch

from reformer.nn.memory import Memory


def test_a_part_is_a_view_of_names_in_the_whole():
    memory = Memory()
    part = memory.part("groups").part("0")
    part.tensors["key"] = torch.ones(2, 3)
    memory.part("groups").part("1").tensors["key"] = torch.zeros(2, 3)
    assert list(memory.tensors) == ["groups.0.key", "groups.1.key"]
    assert list(part.tensors) == ["key"]
    assert len(part.tensors) == 1
    assert memory.nbytes == 48
    del part.tensors["key"]
    assert list(memory.tensors) == ["groups.1.key"]


def test_beams_take_the_memory_of_those_that_they_go_on_from():
    memory = Memory()
    memory.tensors["key"] = torch.arange(6.0).view(3, 2)
    memory.reorder(torch.tensor([2, 0, 0]))
    assert memory.tensors["key"].tolist() == [[4, 5], [0, 1], [0, 1]]
