import hashlib
import io
import tarfile
import zipfile
from dataclasses import replace

import pytest

from reformer.data import DataSet
from reformer.data.index import _registry
from reformer.data.index._registry import Archive, Member


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REFORMER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def package_index(tmp_path, monkeypatch):
    """A folder that pip takes for its only package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture(params=["toy-1.0.tar.gz", "toy-1.0-py3-none-any.whl"])
def toy(request, package_index, monkeypatch, tmp_path):
    """A registered data set of two files in a package whose code leaves a trace when it is run."""
    trace = f"open({str(tmp_path / 'ran')!r}, 'w')"
    files = {"toy-1.0/setup.py": trace, "toy-1.0/a.txt": "甲", "toy-1.0/deep/b.txt": "乙"}
    archive = package_index / request.param
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive, "w") as package:
            for name, content in files.items():
                package.writestr(name, content)
    else:
        with tarfile.open(archive, "w:gz") as package:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content.encode())
                package.addfile(member, io.BytesIO(content.encode()))
    data = archive.read_bytes()
    entry = DataSet(
        name="toy",
        description="two files",
        licence="none",
        archive=Archive("toy", "1.0", archive.name, len(data), hashlib.sha256(data).hexdigest()),
        members=(_member("toy-1.0/a.txt", "甲"), _member("toy-1.0/deep/b.txt", "乙")),
    )
    return register(monkeypatch, entry)


def _member(path: str, content: str) -> Member:
    data = content.encode()
    return Member(path, len(data), hashlib.sha256(data).hexdigest())


def register(monkeypatch, entry: DataSet, **changes) -> DataSet:
    entry = replace(entry, **changes)
    monkeypatch.setitem(_registry.DATA_SETS, entry.name, entry)
    return entry
