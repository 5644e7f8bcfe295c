"""Contenders in processes of their own: one that takes too long, or all of the memory, ends alone."""

import gc
import multiprocessing
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.case import Action, Contender

LIMIT = "took longer than the limit"
NO_MEMORY = "out of memory"


class Guard:
    """One contender in a process that is ended where it takes too long, and begun anew for the next measurement.

    Args:
        device: where its tensors are made.
        limit: seconds for one measurement, building and compiling included.
    """

    def __init__(self, contender: str, device: str, limit: float) -> None:
        self.contender, self.device, self.limit = contender, device, limit
        self.context = multiprocessing.get_context("spawn")
        self.process: Any = None
        self.here: Connection | None = None

    def check(self) -> dict[str, Any]:
        """`{"seen": ...}`, or `{"error": ...}`."""
        return self._ask("check")

    def measure(self, length: int, action: str) -> dict[str, Any]:
        """As `timing.measure`, or `{"error": ...}`."""
        return self._ask("measure", length, action)

    def close(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.join()
            self.process = None

    def _ask(self, *request: Any) -> dict[str, Any]:
        if self.process is None:
            self.here, there = self.context.Pipe()
            self.process = self.context.Process(target=serve, args=(there, self.contender, self.device), daemon=True)
            self.process.start()
            there.close()
        assert self.here is not None
        try:
            self.here.send(request)
            if self.here.poll(self.limit):
                return self.here.recv()
        except (EOFError, BrokenPipeError):
            self.process.join()
            status = self.process.exitcode
            self.close()
            return {"error": f"the process ended with status {status} (-9: most likely the memory was not enough)"}
        self.close()
        return {"error": f"{LIMIT} of {self.limit:.0f} seconds"}


def serve(connection: Connection, contender: str, device: str) -> None:
    """Answer requests until nobody asks any more."""
    import torch

    from benchmarks.gpu.registry import find

    torch.set_default_device(device)
    torch.manual_seed(0)
    session = _Session(find(contender))
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        try:
            connection.send(getattr(session, request[0])(*request[1:]))
        except torch.OutOfMemoryError:
            session.forget()
            connection.send({"error": NO_MEMORY})
        except Exception as error:
            connection.send({"error": f"{type(error).__name__}: {error}"[:2000]})


class _Session:
    """The contender at the length that was asked for last."""

    def __init__(self, contender: Contender) -> None:
        self.contender, self.length = contender, 0
        self.actions: dict[str, Action] = {}

    def check(self) -> dict[str, Any]:
        return {"seen": self.contender.check()}

    def measure(self, length: int, action: str) -> dict[str, Any]:
        from benchmarks.gpu.timing import measure

        if self.length != length:
            self.forget()
            self.actions, self.length = self.contender.build(length), length
        chosen = self.actions[action]
        given = chosen.prepare()
        return measure(lambda: chosen.run(given)) | {"facts": dict(chosen.facts)}

    def forget(self) -> None:
        import torch

        self.actions, self.length = {}, 0
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
