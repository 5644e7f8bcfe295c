"""Engine of a run's answers: one bounded queue for all clients, from which a few threads take batches of one length."""

import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from reformer.data.batching.encoding import batch_length

BATCH_WAIT = 0.004
"""Seconds that a batch waits for others of its length, unless there are enough tokens for a full one."""
LONGEST_RETRY = 60
"""Seconds after which a client that was sent away is told to come again, at most."""
RATE_SHARE = 0.2
"""Share of the last batch in the measured rate of tokens."""

NICENESS = 5
"""Of the thread for long works, on Linux: a third of the weight of another thread."""


class QueueFullError(Exception):
    """There is no room for another record; `retry_after` are the seconds until there may be."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Work:
    """One record to be answered.

    Args:
        sequence: the record as the model reads it.
        tokens: how long it is.
        answering: answers a batch of such sequences.
        group: works of one group may share a batch; None: it is a batch of its own.
        alone: whether it is computed in turn with all others that are, whatever their lengths.
    """

    sequence: Any
    tokens: int
    answering: Callable[[list[Any]], Sequence[Any]]
    group: Hashable | None = None
    alone: bool = False
    future: "Future[Any]" = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


class Lane:
    """Works that one thread answers: batches of one group and length, that of the oldest work first."""

    def __init__(self, batch_tokens: int) -> None:
        self._batch_tokens = batch_tokens
        self._groups: dict[Hashable, deque[Work]] = {}
        self.works = self.tokens = 0

    def put(self, work: Work) -> None:
        key = id(work) if work.group is None else (work.group, batch_length(work.tokens))
        self._groups.setdefault(key, deque()).append(work)
        self.works += 1
        self.tokens += work.tokens

    def wait(self, now: float) -> float:
        """How long the next batch may still wait for others; 0 for one that is full, or old enough."""
        oldest = min(group[0].since for group in self._groups.values())
        return 0.0 if self.tokens >= self._batch_tokens else max(0.0, oldest + BATCH_WAIT - now)

    def take(self) -> list[Work]:
        """The next batch, without works that nobody waits for any more."""
        key, group = min(self._groups.items(), key=lambda each: each[1][0].since)
        most = max(1, self._batch_tokens // batch_length(group[0].tokens))
        batch: list[Work] = []
        while group and len(batch) < most:
            work = group.popleft()
            self.works -= 1
            self.tokens -= work.tokens
            if work.future.set_running_or_notify_cancel():
                batch.append(work)
        if not group:
            del self._groups[key]
        return batch


class Engine:
    """Threads that answer the works of all clients, in batches of one length.

    What is longer than a batch has a thread of its own, so that a long document does not hold up short ones: both are
    computed at the same time, and where both want the processor, the long one gets a quarter of it.

    Args:
        batch_tokens: the most tokens of a batch, padding included, unless one sequence has more.
        most_waiting: works that wait, at most.
        on_batch: is told of each batch: how many works and tokens it has, and the seconds it took.
    """

    def __init__(
        self,
        batch_tokens: int,
        most_waiting: int,
        on_batch: Callable[[int, int, float], object] = lambda works, tokens, seconds: None,
    ) -> None:
        self._batch_tokens, self._most, self._on_batch = batch_tokens, most_waiting, on_batch
        self._changed = threading.Condition()
        self._lanes = Lane(batch_tokens), Lane(batch_tokens)
        self._rate = 0.0
        self._ends = False
        self._threads = [
            threading.Thread(target=self._answer, args=(lane,), name=f"answers-{number}", daemon=True)
            for number, lane in enumerate(self._lanes)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Works that no thread has begun."""
        return sum(lane.works for lane in self._lanes)

    @property
    def has_room(self) -> bool:
        """Whether another work may be put."""
        return self.waiting < self._most

    @property
    def retry_after(self) -> int:
        """Seconds until those that wait are answered, by the rate of the last batches."""
        tokens = sum(lane.tokens for lane in self._lanes)
        return min(LONGEST_RETRY, max(1, math.ceil(tokens / self._rate))) if self._rate else 1

    def put(self, work: Work) -> "Future[Any]":
        """Queue a work; its future has the answer.

        Raises:
            QueueFullError: there is no room.
        """
        with self._changed:
            if not self.has_room:
                raise QueueFullError(self.retry_after)
            self._lanes[work.alone or work.tokens > self._batch_tokens].put(work)
            self._changed.notify_all()
        return work.future

    def close(self) -> None:
        """Answer what waits, and end the threads."""
        with self._changed:
            self._ends = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _answer(self, lane: Lane) -> None:
        if lane is self._lanes[1]:
            yield_to_others()
        while (batch := self._next(lane)) is not None:
            begun = time.monotonic()
            answers = work = None
            try:
                answers = batch[0].answering([work.sequence for work in batch])
                for work, answer in zip(batch, answers, strict=True):
                    work.future.set_result(answer)
            # Whatever it is, those who wait are told, and the next batch may do better.
            except BaseException as error:
                for work in batch:
                    if not work.future.done():
                        work.future.set_exception(error)
            tokens, seconds = sum(work.tokens for work in batch), max(time.monotonic() - begun, 1e-6)
            self._rate += (tokens / seconds - self._rate) * (RATE_SHARE if self._rate else 1.0)
            self._on_batch(len(batch), tokens, seconds)
            # What they refer to would be held until the next ones come.
            del batch, answers, work

    def _next(self, lane: Lane) -> list[Work] | None:
        """The next batch of a lane; None at the end."""
        with self._changed:
            while True:
                if not lane.works:
                    if self._ends:
                        return None
                    self._changed.wait()
                elif (seconds := lane.wait(time.monotonic())) > 0 and not self._ends:
                    self._changed.wait(seconds)
                elif batch := lane.take():
                    return batch


def yield_to_others() -> None:
    """Let other threads of the process go first, and with this one those that it starts, where threads have a priority
    of their own."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
