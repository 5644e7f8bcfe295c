"""Freed memory is kept where that saves time and there is enough of it, and given back at the end."""

import io
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from reformer.tasks.recipe_checks import checked_recipe
from reformer.training import allocator, memory
from reformer.training.callbacks import freed_memory
from reformer.training.callbacks.freed_memory import ADVICE, KEPT, FreedMemory
from reformer.training.train import train
from reformer.training.trainer import DivergedError
from tests.processes import forked
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


def _keep_and_not(figures: Path) -> None:
    """Write how much is given back: of a freed tensor before, of one that is kept, at the end, and of one after it."""

    def resident():
        return memory._kilobytes("/proc/self/status", "VmRSS")

    def given_back():
        tensor = torch.ones(100 << 18)
        before = resident()
        del tensor
        return before - resident()

    model = SimpleNamespace(config=SimpleNamespace(hidden_size=64), device=torch.device("cpu"))
    kept = freed_memory.FreedMemory(model, Console())
    found = [given_back()]
    kept._keeps = freed_memory._keep()
    found.append(given_back())
    before = resident()
    kept.close()
    found += [before - resident(), given_back()]
    figures.write_text(" ".join(map(str, found)))


@on_linux
def test_the_c_library_does_as_it_is_told(tmp_path):
    assert forked(lambda: _keep_and_not(tmp_path / "figures")) == 0
    before, kept, at_the_end, after = (int(each) >> 10 for each in (tmp_path / "figures").read_text().split())
    assert before > 80
    assert kept < 20
    assert at_the_end > 80
    assert after > 80


class _Probe(io.StringIO):
    """A console's file that measures, when the note is printed, how much of a freed tensor the process gives back."""

    def __init__(self) -> None:
        super().__init__()
        self.given_back: list[int] = []

    def write(self, text: str) -> int:
        if KEPT in text:
            self.given_back.append(_given_back())
        return super().write(text)


def _given_back() -> int:
    """Megabytes by which the process shrinks as a tensor of 100 MB goes.

    What it grew by as the tensor came says nothing: a part may have been its own already.
    """
    tensor = torch.ones(100 << 18)
    before = memory._kilobytes("/proc/self/status", "VmRSS")
    del tensor
    return (before - memory._kilobytes("/proc/self/status", "VmRSS")) >> 10


@on_linux
@pytest.mark.parametrize("options", [{}, {"learning_rate": 1e30, "warmup_ratio": 0.0, "logging_steps": 1}])
def test_a_run_keeps_freed_memory_until_it_ends_or_fails(tmp_path, monkeypatch, options):
    # Tensors of any size count as large, and memory as plentiful; what happens to it is real.
    monkeypatch.setattr(allocator, "LARGEST_KEPT", 0)
    monkeypatch.setattr(freed_memory, "free_memory", lambda: 1 << 60)
    recipe, probe = checked_recipe(ner_recipe(tmp_path, max_steps=2, num_evaluations=1, **options)), _Probe()
    assert _given_back() > 80
    with pytest.raises(DivergedError) if options else nullcontext():
        train(recipe, tmp_path / "run", console=Console(file=probe, width=400))
    [given_back] = probe.given_back
    assert given_back < 20
    assert _given_back() > 80
