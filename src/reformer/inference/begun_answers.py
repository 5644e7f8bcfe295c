"""Answers under way: a file that an interrupted prediction has begun, and what it needs to go on with it."""

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from reformer.data.origin import Key
from reformer.errors import ReformerError
from reformer.files import refuse_existing, remove_file, resumable, writing_on
from reformer.processes import identity, is_dead
from reformer.wording import counted

PARTIAL, JOURNAL = ".partial", ".partial.journal"
"""What is put behind the name of an output for its answers so far, and for their journal."""


class ResumeError(ReformerError):
    """A prediction that was begun cannot be gone on with as it was asked for."""


@dataclass(frozen=True)
class _Journal:
    """What the journal tells of the answers that are whole: how many, up to which key and byte, and its own length."""

    request: Mapping[str, Any]
    process: str
    answers: int = 0
    after: Key | None = None
    length: int = 0
    own_length: int = 0
    end: int = 0
    """Bytes behind the last answer."""


class Answers:
    """File of answers that is written one by one; `after` is the key of the last one that was there before."""

    def __init__(self, file: IO[bytes], journal: IO[bytes], found: _Journal) -> None:
        self._file, self._journal = file, journal
        self.after, self.count, self.length = found.after, found.answers, found.length

    def write(self, key: Key, data: bytes) -> None:
        """Write one answer, and then that it is whole."""
        _write_all(self._file, data)
        self.length += len(data)
        self.count += 1
        _write_all(self._journal, _line([key, self.length, zlib.crc32(data)]))

    def end(self, data: bytes) -> None:
        """Write what stands behind the last answer."""
        if data:
            _write_all(self._journal, _line({"end": len(data)}))
            _write_all(self._file, data)


@contextmanager
def begun_answers(output: Path, request: Mapping[str, Any], *, overwrite: bool, resume: bool) -> Iterator[Answers]:
    """A file of answers at `output` when the block ends; until then `NAME.partial` beside it, with a journal.

    After an error, or the end of the process by whatever means, both stay if there is an answer, and `resume` goes on
    with them. A line of the journal says of each answer what it is to and its checksum, so that one that was cut, or
    not yet on the disk when the power failed, is made again.

    Args:
        request: what the answers depend on, for JSON: a prediction that was begun with another is refused.
        overwrite: whether a file at `output` may be replaced, and answers that were begun thrown away.
        resume: go on with answers that were begun; where there are none, begin.

    Raises:
        ResumeError: answers were begun and nothing says what to do with them; or by another process that still goes on;
            or for another request.
    """
    output = Path(os.path.realpath(output))
    partial, place = (output.with_name(f"{output.name}{end}") for end in (PARTIAL, JOURNAL))
    found = _read_journal(place, partial, output)
    _refuse_others(output, partial, place, found)
    # Answers that are there whole, of a process that ended before it could remove the journal.
    finished = found is not None and found.answers > 0 and _is_in_place(partial, output)
    if found is not None and found.answers and not (finished and not resume):
        if resume:
            _refuse_other_request(partial, found.request, request)
        elif not overwrite:
            raise ResumeError(
                f"{partial}: {counted(found.answers, 'answer', 'are')} here of a prediction that was interrupted; "
                "give --resume to go on with it, or --overwrite to begin again"
            )
    if finished and resume and found is not None:
        yield _Finished(found)
        _remove(partial, place)
        return
    if not resume or (found is not None and not found.answers):
        _remove(partial, place)
        found = None
    if not overwrite:
        refuse_existing(output)
    with _journalled(place, request, found) as (journal, known):
        answers: Answers | None = None
        try:
            with resumable(output, known.length if found else None, begun=partial, overwrite=overwrite) as file:
                answers = Answers(file, journal, known)
                yield answers
        except BaseException:
            if answers is None or not answers.count:
                _remove(partial, place)
            raise
    remove_file(place)


class _Finished(Answers):
    """Answers that are all there."""

    def __init__(self, found: _Journal) -> None:
        self.after, self.count, self.length = found.after, found.answers, found.length

    def write(self, key: Key, data: bytes) -> None:
        raise ResumeError("there are more answers now than when the output was finished; give --overwrite")

    def end(self, data: bytes) -> None:
        """It is there."""


@contextmanager
def _journalled(
    place: Path, request: Mapping[str, Any], found: _Journal | None
) -> Iterator[tuple[IO[bytes], _Journal]]:
    with writing_on(place, None if found is None else found.own_length) as journal:
        if found is None:
            _write_all(journal, _line({"request": request}))
            found = _Journal(request, identity())
        _write_all(journal, _line({"process": identity()}))
        yield journal, found


def _read_journal(place: Path, partial: Path, output: Path) -> _Journal | None:
    """What a journal tells of the answers that are there; None where there is none."""
    if not place.is_file():
        return None
    answers = partial if partial.exists() else output
    request, process = None, ""
    count, after, length, own_length, end = 0, None, 0, 0, 0
    with place.open("rb") as lines, answers.open("rb") if answers.exists() else open(os.devnull, "rb") as file:
        for line in lines:
            try:
                entry = json.loads(line) if line.endswith(b"\n") else None
                if entry is None:
                    break
                if isinstance(entry, dict):
                    request, process = entry.get("request", request), entry.get("process", process)
                    end = entry.get("end", end)
                else:
                    key, reached, checksum = entry
                    if zlib.crc32(file.read(reached - length)) != checksum:
                        break
                    count, after, length = count + 1, tuple(key), reached
            # Its last line may be cut, or hold what was not on the disk yet.
            except (ValueError, TypeError):
                break
            own_length += len(line)
    if not isinstance(request, dict):
        return _Journal({}, process)
    if answers == output and (not output.is_file() or output.stat().st_size != length + end):
        # What it tells of is no more there.
        return _Journal(request, process)
    return _Journal(request, process, count, after, length, own_length, end)


def _is_in_place(partial: Path, output: Path) -> bool:
    return not partial.exists() or (output.exists() and partial.samefile(output))


def _remove(*places: Path) -> None:
    for place in places:
        if os.path.lexists(place):
            remove_file(place)


def _refuse_others(output: Path, partial: Path, place: Path, found: _Journal | None) -> None:
    """Raise `ResumeError` for a process that writes the same, and for a file in the way that no journal tells of."""
    if found is not None and found.process not in ("", identity()) and not is_dead(found.process):
        raise ResumeError(
            f"{output}: another process is writing this ({found.process}); let it end, or if it has ended on another "
            f"machine, delete {place}"
        )
    if found is None and os.path.lexists(partial) and (partial.is_dir() or partial.lstat().st_size):
        raise ResumeError(
            f"{partial}: the answers are written here until they are whole, and this was not begun by a prediction "
            "that can go on; rename or delete it"
        )


def _refuse_other_request(partial: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for name in dict.fromkeys((*before, *now)):
        if before.get(name) != now.get(name):
            raise ResumeError(
                f"{partial}: {name} {_difference(before.get(name), now.get(name))} since this was begun; put it back "
                "as it was, or give --overwrite without --resume to begin again"
            )


def _difference(before: Any, now: Any) -> str:
    shown = [json.dumps(value, ensure_ascii=False) if value is not None else "not given" for value in (before, now)]
    digests = all(isinstance(value, str) and len(value) == 64 for value in (before, now))
    return "has changed" if digests else f"was {shown[0]} and is {shown[1]},"


def _line(entry: Any) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n"


def _write_all(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    # A file that is not buffered may take a part only.
    while view:
        view = view[file.write(view) :]
