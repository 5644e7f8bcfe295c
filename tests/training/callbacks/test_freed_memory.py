"""Freed memory is kept where that saves time and there is enough of it, and given back at the end."""

import io
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from reformer.tasks.recipe_checks import checked_recipe
from reformer.training import allocator
from reformer.training.callbacks import freed_memory
from reformer.training.callbacks.freed_memory import ADVICE, KEPT, FreedMemory
from reformer.training.train import train
from reformer.training.trainer import DivergedError
from tests.tiny import ner_recipe

WIDTH = 64
LARGE = allocator.LARGEST_KEPT // (4 * WIDTH) + 1
"""Tokens whose vectors are more than the C library keeps."""

on_linux = pytest.mark.skipif(allocator.allocator() != "C library" or not allocator.gives_back(1 << 30), reason="glibc")


@pytest.fixture
def calls(monkeypatch):
    """Calls of the C library, which is replaced as the system's readings of memory are."""
    calls = []
    library = SimpleNamespace(
        mallopt=lambda *arguments: calls.append(arguments) or 1, malloc_trim=lambda *_: calls.append("trim")
    )
    monkeypatch.setattr(freed_memory.ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(freed_memory, "gives_back", lambda size: size > allocator.LARGEST_KEPT)
    monkeypatch.setattr(freed_memory, "peak_memory", lambda: 100)
    monkeypatch.setattr(freed_memory, "free_memory", lambda: 400)
    return calls


def _run(steps, processes=1, accumulation=1, device="cpu"):
    console = Console(file=io.StringIO(), width=400)
    model = SimpleNamespace(config=SimpleNamespace(hidden_size=WIDTH), device=torch.device(device))
    kept = FreedMemory(model, console)  # pyright: ignore
    args = SimpleNamespace(world_size=processes, gradient_accumulation_steps=accumulation)
    state = SimpleNamespace(num_input_tokens_seen=7 * LARGE, is_world_process_zero=True)
    kept.on_train_begin(args, state, None)
    for tokens in steps:
        state.num_input_tokens_seen += tokens
        kept.on_step_end(args, state, None)
    return kept, console.file.getvalue()


def test_it_is_decided_at_the_first_large_step_and_ends_with_the_run(calls):
    kept, printed = _run([LARGE // 2, LARGE, LARGE])
    assert printed.count(KEPT) == 1
    assert calls == [(-4, 0), (-1, -1)]
    calls.clear()
    kept.close()
    kept.close()
    assert calls == [(-4, 1 << 16), (-1, 64 << 20), "trim"]


@pytest.mark.parametrize(
    ("options", "steps"),
    [({}, [LARGE // 2]), ({"processes": 2}, [LARGE]), ({"accumulation": 2}, [LARGE]), ({"device": "meta"}, [LARGE])],
)
def test_small_tensors_and_other_devices_are_let_be(calls, options, steps):
    kept, printed = _run(steps, **options)
    kept.close()
    assert not printed
    assert not calls


@pytest.mark.parametrize("processes", [1, 2])
def test_with_too_little_memory_another_allocator_is_advised(calls, monkeypatch, processes):
    monkeypatch.setattr(freed_memory, "free_memory", lambda: 200 * processes - 1)
    kept, printed = _run([LARGE * processes], processes)
    kept.close()
    assert ADVICE in printed
    assert not calls


@on_linux
def test_the_system_says_what_there_is():
    torch.ones(30 << 18)
    assert 30 << 20 < freed_memory.peak_memory() < freed_memory.free_memory() + (1 << 40)
    assert 0 < freed_memory.free_memory() < 1 << 50


KEEPING_AND_NOT = """
import torch
from pathlib import Path
from types import SimpleNamespace
from rich.console import Console
from reformer.training.callbacks import freed_memory

def resident():
    return freed_memory._kilobytes("/proc/self/status", "VmRSS")

def left_behind():
    before = resident()
    tensor = torch.ones(100 << 18)
    del tensor
    return resident() - before

model = SimpleNamespace(config=SimpleNamespace(hidden_size=64), device=torch.device("cpu"))
kept = freed_memory.FreedMemory(model, Console())
print(left_behind())
kept._keeps = freed_memory._keep()
print(left_behind())
before = resident()
kept.close()
print(before - resident())
print(left_behind())
"""


@on_linux
def test_the_c_library_does_as_it_is_told():
    found = subprocess.run([sys.executable, "-c", KEEPING_AND_NOT], capture_output=True, text=True, check=True)
    gone, stays, given_back, gone_again = (int(line) >> 10 for line in found.stdout.split())
    assert gone < 20
    assert stays > 80
    assert given_back > 80
    assert gone_again < 20


class _Probe(io.StringIO):
    """A console's file that measures, when the note is printed, how much of a freed tensor stays in the process."""

    def __init__(self) -> None:
        super().__init__()
        self.left_behind: list[int] = []

    def write(self, text: str) -> int:
        if KEPT in text:
            self.left_behind.append(_left_behind())
        return super().write(text)


def _left_behind() -> int:
    """Megabytes by which the process is larger after a tensor of 100 MB has come and gone."""
    before = freed_memory._kilobytes("/proc/self/status", "VmRSS")
    tensor = torch.ones(100 << 18)
    del tensor
    return (freed_memory._kilobytes("/proc/self/status", "VmRSS") - before) >> 10


@on_linux
@pytest.mark.parametrize("options", [{}, {"learning_rate": 1e30, "warmup_ratio": 0.0, "log_steps": 1}])
def test_a_run_keeps_freed_memory_until_it_ends_or_fails(tmp_path, monkeypatch, options):
    # Tensors of any size count as large, and memory as plentiful; what happens to it is real.
    monkeypatch.setattr(allocator, "LARGEST_KEPT", 0)
    monkeypatch.setattr(freed_memory, "free_memory", lambda: 1 << 60)
    recipe, probe = checked_recipe(ner_recipe(tmp_path, max_steps=2, num_evaluations=1, **options)), _Probe()
    assert _left_behind() < 20
    with pytest.raises(DivergedError) if options else nullcontext():
        train(recipe, tmp_path / "run", console=Console(file=probe, width=400))
    [left_behind] = probe.left_behind
    assert left_behind > 80
    assert _left_behind() < 20
