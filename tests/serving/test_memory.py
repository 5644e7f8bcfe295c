"""Freed memory is given back a moment after the last work, once."""

import subprocess
import sys
import threading
import time

import pytest

from reformer.serving import memory
from reformer.serving.memory import FreedMemory


def test_it_is_given_back_once_when_there_is_no_more_work(monkeypatch):
    given, called = [], threading.Event()

    def give_back():
        given.append(time.monotonic())
        called.set()

    monkeypatch.setattr(memory, "IDLE", 0.3)
    monkeypatch.setattr(memory, "give_back_memory", give_back)
    freed = FreedMemory()
    time.sleep(0.5)
    assert not given, "there was no work"
    freed.touch()
    time.sleep(0.1)
    last = time.monotonic()
    freed.touch()
    assert called.wait(30)
    assert given[0] - last >= 0.3
    time.sleep(0.5)
    assert len(given) == 1
    called.clear()
    freed.touch()
    assert called.wait(30)


PROGRAM = """
import ctypes, sys, threading
from pathlib import Path
from reformer.serving.memory import give_back_memory, use_one_arena

if sys.argv[1] == "one":
    use_one_arena()
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]

def work():
    # As tensors of a batch, each below the bound above which blocks are mapped; the bound grows with what is freed.
    library.free(library.malloc(30 << 20))
    blocks = [library.malloc(1 << 20) for _ in range(24)]
    for block in blocks:
        ctypes.memset(block, 1, 1 << 20)
    for block in blocks:
        library.free(block)

thread = threading.Thread(target=work)
thread.start()
thread.join()
give_back_memory()
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("RssAnon")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what is resident is read from /proc")
def test_what_a_thread_has_freed_is_given_back():
    def resident(arenas):
        return (
            int(subprocess.run([sys.executable, "-c", PROGRAM, arenas], check=True, capture_output=True).stdout) << 10
        )

    assert resident("one") < resident("many") - (16 << 20)
