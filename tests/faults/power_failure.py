"""States that a disk may be left in by a power failure, from a record of what was written and synced."""

import random
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.disk import Change, Kind

Content = list[tuple[int, bytes | None]]
"""Writes, each at its place; with None the file is cut, or grows, to that length."""


@dataclass(eq=False)
class _File:
    durable: bytes = b""
    unsynced: Content = field(default_factory=list)

    def content(self, writes: Iterable[tuple[int, bytes | None]]) -> bytes:
        whole = bytearray(self.durable)
        for place, data in writes:
            end = place + len(data or b"")
            whole.extend(bytes(max(0, end - len(whole))))
            if data is None:
                del whole[place:]
            else:
                whole[place:end] = data
        return bytes(whole)


@dataclass(eq=False)
class _Folder:
    durable: dict[str, "_Node"] = field(default_factory=dict)
    now: dict[str, "_Node"] = field(default_factory=dict)


_Node = _File | _Folder


@dataclass(eq=False)
class _Entry:
    """Change of one folder's entries, or of two together by a rename: names that come to stand for something else."""

    names: list[tuple[_Folder, str, _Node | None]]


class Disk:
    """A folder as a disk has it, through the changes of a process, in whose paths it is called `root`.

    What was written is on the disk for certain once its file was synced, and a new name once its folder was. Of the
    changes of one folder's names, those before are there when a later one is; a rename is there whole or not at all.
    """

    def __init__(self, folder: Path, root: str) -> None:
        self._root = root
        self._tree = _read(folder)
        self._entries: list[_Entry] = []
        self._open: dict[int, _Node] = {}

    def apply(self, change: Change) -> None:
        """Follow one change."""
        match change.kind:
            case Kind.OPEN:
                parent, name = self._place(change.path)
                if change.place & 2:
                    self._enter((parent, name, _File()))
                node = parent.now[name] if name else parent
                if change.place & 1 and isinstance(node, _File):
                    node.unsynced.append((0, None))
                self._open[change.file] = node
            case Kind.WRITE:
                self._file(change).unsynced.append((change.place, change.data))
            case Kind.TRUNCATE:
                self._file(change).unsynced.append((change.place, None))
            case Kind.SYNC:
                self._sync(self._open[change.file])
            case Kind.MKDIR:
                self._enter((*self._place(change.path), _Folder()))
            case Kind.UNLINK | Kind.RMDIR:
                self._enter((*self._place(change.path), None))
            case Kind.RENAME:
                before, after = self._place(change.path), self._place(change.other)
                self._enter((*before, None), (*after, before[0].now[before[1]]))
            case Kind.LINK:
                before = self._place(change.path)
                self._enter((*self._place(change.other), before[0].now[before[1]]))

    def write_now(self, place: Path) -> None:
        """Write the folder as the running system sees it."""
        _write(self._tree, place, lambda folder: folder.now, lambda file: file.content(file.unsynced))

    def write_after_failure(self, place: Path, pick: random.Random, *, names: float | None, data: float | None) -> None:
        """Write the folder as a power failure now may leave it.

        Args:
            names: the share of the unsynced changes of each folder's names that reached the disk; None for any.
            data: the share of the unsynced writes of each file that did, the last of them torn; None for any.
        """
        there: dict[_Folder, dict[str, _Node]] = {}
        kept: dict[_Folder, float] = {}
        counted: dict[_Folder, int] = {}
        totals: dict[_Folder, int] = {}
        for entry in self._entries:
            for folder in {folder for folder, _, _ in entry.names}:
                totals[folder] = totals.get(folder, 0) + 1
        for entry in self._entries:
            folders = {folder for folder, _, _ in entry.names}
            for folder in folders:
                kept.setdefault(folder, pick.choice((0, 0.5, 1, pick.random())) if names is None else names)
                counted[folder] = counted.get(folder, 0) + 1
            if all(counted[folder] <= kept[folder] * totals[folder] for folder in folders):
                for folder, name, node in entry.names:
                    _set(there.setdefault(folder, dict(folder.durable)), name, node)
            else:
                # What follows in these folders came later.
                kept |= dict.fromkeys(folders, -1.0)

        def content(file: _File) -> bytes:
            share = pick.choice((0, 1, pick.random())) if data is None else data
            number = int(share * len(file.unsynced))
            writes = file.unsynced[:number]
            if 0 < share < 1 and number < len(file.unsynced):
                at, torn = file.unsynced[number]
                # The length may be there before what fills it.
                writes = [*writes, (at, torn and pick.choice((torn[: len(torn) // 2], bytes(len(torn)))))]
            return file.content(writes)

        _write(self._tree, place, lambda folder: there.get(folder, folder.durable), content)

    def _place(self, path: str) -> tuple[_Folder, str]:
        parts = [part for part in path.removeprefix(self._root).split("/") if part not in ("", ".")]
        folder = self._tree
        for part in parts[:-1]:
            node = folder.now[part]
            assert isinstance(node, _Folder)
            folder = node
        return folder, parts[-1] if parts else ""

    def _file(self, change: Change) -> _File:
        node = self._open[change.file]
        assert isinstance(node, _File)
        return node

    def _enter(self, *names: tuple[_Folder, str, _Node | None]) -> None:
        for folder, name, node in names:
            _set(folder.now, name, node)
        self._entries.append(_Entry(list(names)))

    def _sync(self, node: _Node) -> None:
        if isinstance(node, _File):
            node.durable, node.unsynced = node.content(node.unsynced), []
            return
        # With a change go those before it in its folders, from which it may have moved something here.
        synced, left, reached = [node], [], []
        for entry in reversed(self._entries):
            folders = [folder for folder, _, _ in entry.names]
            if any(folder in synced for folder in folders):
                synced += folders
                reached.append(entry)
            else:
                left.append(entry)
        for entry in reversed(reached):
            for folder, name, target in entry.names:
                _set(folder.durable, name, target)
        self._entries = left[::-1]


def _set(names: dict[str, _Node], name: str, node: _Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _read(folder: Path) -> _Folder:
    names: dict[str, _Node] = {
        path.name: _read(path) if path.is_dir() else _File(path.read_bytes()) for path in folder.iterdir()
    }
    return _Folder(dict(names), names)


def _write(
    folder: _Folder, place: Path, names: Callable[[_Folder], dict[str, _Node]], content: Callable[[_File], bytes]
) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name, node in names(folder).items():
        if isinstance(node, _Folder):
            _write(node, place / name, names, content)
        else:
            (place / name).write_bytes(content(node))
