"""Defaults of the threads that a command computes with."""

import os
import subprocess
import sys

import pytest

from reformer.cli import threads
from reformer.cli.threads import core_quota, set_thread_defaults


def _group(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text)


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        ("200000 100000", 2.0),
        ("150000 100000", 1.5),
        ("max 100000", None),
        ("", None),
        ("0 100000", None),
        ("x y", None),
    ],
)
def test_the_quota_of_a_control_group(bound, expected, tmp_path):
    _group(tmp_path, cpu_max=bound)
    (tmp_path / "self").write_text("0::/\n")
    assert core_quota(tmp_path, tmp_path / "self") == expected


def test_the_least_bound_of_the_groups_above_counts(tmp_path):
    _group(tmp_path / "a/b", cpu_max="800000 100000")
    _group(tmp_path / "a", cpu_max="300000 100000")
    (tmp_path / "self").write_text("0::/a/b\n")
    assert core_quota(tmp_path, tmp_path / "self") == 3.0


@pytest.mark.parametrize(("quota", "expected"), [("250000\n", 2.5), ("-1\n", None)])
def test_the_first_version_of_control_groups(quota, expected, tmp_path):
    group = tmp_path / "cpu,cpuacct" / "box"
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text(quota)
    (group / "cpu.cfs_period_us").write_text("100000\n")
    (tmp_path / "self").write_text("9:memory:/elsewhere\n4:cpu,cpuacct:/box\n0::/\n")
    assert core_quota(tmp_path, tmp_path / "self") == expected


def test_where_there_are_no_control_groups_there_is_no_bound(tmp_path):
    assert core_quota(tmp_path, tmp_path / "self") is None


@pytest.mark.parametrize(
    ("quota", "expected"), [(2.5, "2"), (0.5, "1"), (None, None), (1e6, None)], ids=["some", "part", "none", "more"]
)
def test_there_are_no_more_threads_than_cores_to_use(quota, expected, monkeypatch):
    monkeypatch.setattr(threads, "core_quota", lambda: quota)
    monkeypatch.setattr(threads, "usable_cores", lambda: 64)
    environment = {}
    set_thread_defaults(environment)
    assert environment.get("OMP_NUM_THREADS") == expected
    assert environment["OMP_WAIT_POLICY"] == "passive"


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setattr(threads, "core_quota", lambda: 2.0)
    monkeypatch.setattr(threads, "usable_cores", lambda: 64)
    environment = {"OMP_NUM_THREADS": "7", "OMP_WAIT_POLICY": "active"}
    set_thread_defaults(environment)
    assert environment == {"OMP_NUM_THREADS": "7", "OMP_WAIT_POLICY": "active"}


def test_it_is_set_before_pytorch_is_there():
    program = "import sys, reformer.cli.threads; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ, check=True)
    assert done.stdout.strip() == "False"
