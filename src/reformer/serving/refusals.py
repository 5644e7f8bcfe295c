"""Refusals: a status, and of each thing that is wrong its place, what was given, and what to do."""

from collections.abc import Iterable, Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from reformer.data import DataError
from reformer.data.errors import TooLongError
from reformer.errors import ReformerError

WRONG, TOO_LARGE, BUSY, LATE, BODY_LATE, NO_CODING, NO_SPACE = 422, 413, 503, 504, 408, 415, 507


class RefusalError(Exception):
    """Request that is not answered."""

    def __init__(
        self, status: int, message: str, place: Sequence[str | int] = (), headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers
        self.detail = [problem("refused", message, place)]

    @classmethod
    def of_errors(cls, errors: Iterable[ReformerError], name: str = "") -> "RefusalError":
        """The refusal of records that cannot be read or answered: 413 where each is too long, else 422."""
        errors = list(errors)
        refusal = cls(TOO_LARGE if all(isinstance(each, TooLongError) for each in errors) else WRONG, "")
        refusal.detail = [error_problem(each, name) for each in errors]
        return refusal


def problem(kind: str, message: str, place: Sequence[str | int] = ()) -> dict[str, Any]:
    """One thing that is wrong, in the form in which FastAPI tells it."""
    return {"type": kind, "loc": list(place), "msg": message}


def error_problem(error: ReformerError, name: str = "") -> dict[str, Any]:
    """The error of a record; what was read is called by the name that the client gave it."""
    if not isinstance(error, DataError):
        return problem("refused", str(error), ["body"])
    kind = "too_long" if isinstance(error, TooLongError) else "data_error"
    place: list[str | int] = ["body"] if error.line is None else ["body", f"line {error.line}"]
    path = None if error.path is None else name or error.path
    told = problem(kind, str(DataError(path, error.line, error.problem, error.remedy)), place)
    return told | {"remedy": error.remedy}


async def answer_refusal(request: Request, refusal: Exception) -> JSONResponse:
    """The response to a request that was refused."""
    assert isinstance(refusal, RefusalError)
    return JSONResponse(_body(request, refusal.detail, refusal.status), refusal.status, headers=refusal.headers)


async def answer_no_route(request: Request, error: Exception) -> JSONResponse:
    """The response to a path or a method that is not there."""
    assert isinstance(error, HTTPException)
    told = f"{error.detail}; /openapi.json tells what there is"
    return JSONResponse(_body(request, [problem("refused", told)], error.status_code), error.status_code, error.headers)


async def answer_invalid(request: Request, error: Exception) -> JSONResponse:
    """The response to arguments of a wrong kind; what was given is not repeated."""
    assert isinstance(error, RequestValidationError)
    found = [problem(each["type"], f"{each['msg']}; see /openapi.json", each["loc"]) for each in error.errors()]
    return JSONResponse(_body(request, found, WRONG), WRONG)


def _body(request: Request, detail: Sequence[dict[str, Any]], status: int) -> dict[str, Any]:
    """What is wrong; to OpenAI's clients also in the form in which they show it."""
    body: dict[str, Any] = {"detail": list(detail)}
    if request.url.path.startswith("/v1/"):
        told = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in detail)
        body["error"] = {"message": told, "type": "invalid_request_error", "param": None, "code": str(status)}
    return body


async def answer_mistake(request: Request, error: Exception) -> JSONResponse:
    """The response to a mistake of ours, which may quote texts in its traceback."""
    told = "the server has made a mistake; its log names the kind"
    return JSONResponse({"detail": [problem("mistake", f"{told}: {type(error).__name__}")]}, 500)
