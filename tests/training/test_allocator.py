"""Which allocator serves, and when a run should say so."""

import platform
from pathlib import Path

import pytest

from reformer.training import allocator


@pytest.mark.parametrize(
    ("mapped", "expected"),
    [
        ("7f00-7f01 r-xp 0 00:00 1 /usr/lib/x86_64-linux-gnu/libjemalloc.so.2\n", "jemalloc"),
        ("7f00-7f01 r-xp 0 00:00 1 /usr/lib/x86_64-linux-gnu/libc.so.6\n", "C library"),
    ],
)
def test_the_allocator_is_read_from_what_is_mapped(monkeypatch, mapped, expected):
    monkeypatch.setattr(Path, "read_text", lambda *_: mapped)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    assert allocator.allocator() == expected
    large, small = 64 << 20, 16 << 20
    assert allocator.gives_back(large) == (expected == "C library")
    assert not allocator.gives_back(small)


def test_elsewhere_than_on_linux_nothing_is_said(monkeypatch):
    def missing(*_):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert allocator.allocator() == "C library"
    assert not allocator.gives_back(1 << 30)
