"""Application: the routes of each run, the page, and what the server tells of itself."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from importlib.resources import files
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from reformer.data.formats.record import kind as json_kind
from reformer.errors import ReformerError
from reformer.inference.answer_forms import OF_CLASSES, OF_ENTITIES
from reformer.serving import label_studio
from reformer.serving.completions import CompletionRequest, Completions
from reformer.serving.connection import Stream, while_connected
from reformer.serving.guard import Guard, Metrics
from reformer.serving.records import PredictQuery, busy, lines, predictions, whole
from reformer.serving.refusals import (
    WRONG,
    RefusalError,
    answer_invalid,
    answer_mistake,
    answer_no_route,
    answer_refusal,
)
from reformer.serving.scores import score
from reformer.serving.served_run import ServedRun
from reformer.serving.spool import Spool
from reformer.serving.uploads import (
    Limits,
    Upload,
    content_type,
    parsed,
    read_body,
    save_body,
    upload_name,
)

PAGE = files("reformer.serving") / "page"
SHARED = files("reformer.report")
SCRIPTS = ("page.js", "words.js", "marks.js", "views.js", "chart.js", "writing.js")
_SURROGATE = re.compile("[\ud800-\udfff]")
NDJSON = "application/x-ndjson"
JSON_SIZE = 1 << 26
"""Bytes of a body that is held in memory."""


def make_app(
    runs: Mapping[str, ServedRun],
    limits: Limits,
    metrics: Metrics,
    spool: Spool,
    token: str | None = None,
    *,
    only_here: bool = False,
) -> Any:
    """The ASGI application. The only run stands at the root, too; of several each has `/runs/NAME/`."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        for served in runs.values():
            await run_in_threadpool(served.engine.close)

    app = FastAPI(title="Reformer", version=version("reformer-torch"), docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_exception_handler(RefusalError, answer_refusal)
    app.add_exception_handler(HTTPException, answer_no_route)
    app.add_exception_handler(RequestValidationError, answer_invalid)
    app.add_exception_handler(Exception, answer_mistake)
    for served in runs.values():
        router = run_routes(served, limits, spool)
        app.include_router(router, prefix=f"/runs/{served.name}", tags=[served.name])
        if len(runs) == 1:
            app.include_router(router, include_in_schema=False)
    _add_completions(app, runs, limits)
    _add_server(app, runs, metrics)
    return Guard(app, metrics, token, only_here=only_here)


def run_routes(served: ServedRun, limits: Limits, spool: Spool) -> APIRouter:
    """The routes of one run."""
    router = APIRouter()

    @router.get("/model")
    async def model() -> dict[str, Any]:
        """Task, labels, recipe and lengths of the run."""
        return served.describe() | {"forms": _forms(served)}

    @router.get("/page", include_in_schema=False)
    async def page() -> Response:
        return _page_file("index.html", "text/html")

    if not served.predicts:
        _add_score(router, served, limits, spool)
        return router

    @router.post("/predict", openapi_extra=_predict_body(served))
    async def predict(request: Request, query: Annotated[PredictQuery, Query()]) -> Response:
        """What `reformer predict` says of one record as JSON, or of the records of a file, one JSON object a line, as
        they are ready. Label Studio's tasks are answered in its own form."""
        _refuse_repeated(request)
        if not served.engine.has_room:
            raise busy(served.engine.retry_after)
        if content_type(request) == "application/json":
            body = parsed(await read_body(request, Limits(min(limits.body, JSON_SIZE), limits.seconds)))
            if label_studio.is_request(body):
                return JSONResponse(
                    await while_connected(request, label_studio.answer_tasks(served, body, limits, spool))
                )
            options = query.options(served)
            upload = _record(served, body, query, spool)
            alone = query.to is None
        else:
            options, name = query.options(served), upload_name(request, query.name)
            upload = await save_body(request, limits, spool, name)
            alone = False
        try:
            answered = predictions(served, upload, options, limits)
            if alone or query.to is not None:
                text = await while_connected(request, whole(answered, query.form(), upload.name))
                upload.close()
                kind = "text/csv" if query.to == "csv" else "application/json" if alone else "text/plain"
                return Response(text, media_type=kind)
            written = lines(answered, upload.name)
            first = await while_connected(request, anext(written, None))
            return Stream(written, NDJSON, upload.close, first)
        except ReformerError as error:
            upload.close()
            raise RefusalError.of_errors([error], upload.name) from None
        except BaseException:
            upload.close()
            raise

    _add_label_studio(router, served, limits)
    return router


def _add_score(router: APIRouter, served: ServedRun, limits: Limits, spool: Spool) -> None:
    @router.post("/score")
    async def score_text(request: Request) -> Response:
        """Bits of each token of a text: the body is the text, or `{"text": ...}` as JSON."""
        kind = content_type(request)
        if kind == "application/json":
            body = parsed(await read_body(request, limits))
            text = body.get("text") if isinstance(body, dict) else None
            if not isinstance(text, str):
                raise RefusalError(WRONG, 'no text; send {"text": "..."}, or the text as text/plain', ["body", "text"])
            if _SURROGATE.search(text):
                raise RefusalError(WRONG, "half of a surrogate pair, which is no character", ["body", "text"])
            upload = Upload(spool, "request.txt")
            upload.write(text)
        elif not kind.startswith("text/") and kind not in ("", "application/octet-stream"):
            told = f"a body of the type {kind}; send a text as text/plain, or as JSON"
            raise RefusalError(WRONG, told, ["header", "content-type"])
        else:
            upload = await save_body(request, limits, spool, "request.txt")
        try:
            return JSONResponse(await while_connected(request, score(served, upload, limits)))
        finally:
            upload.close()


def _add_label_studio(router: APIRouter, served: ServedRun, limits: Limits) -> None:
    @router.post("/setup", include_in_schema=False)
    async def setup(request: Request) -> dict[str, str]:
        """Label Studio's greeting."""
        body = parsed(await read_body(request, limits))
        if isinstance(body, dict) and body.get("schema"):
            label_studio.check_config(served, body["schema"])
        return {"model_version": served.name}

    @router.get("/health", include_in_schema=False)
    async def run_health() -> dict[str, str]:
        return {"status": "UP", "model_class": served.name}

    @router.post("/webhook", include_in_schema=False)
    async def webhook() -> dict[str, str]:
        """Label Studio tells of its annotations; nothing is learned from them here."""
        return {"status": "ignored"}


def _refuse_repeated(request: Request) -> None:
    """Refuse a parameter that is given twice: one of the two would have no effect."""
    names = [name for name, _ in request.query_params.multi_items()]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RefusalError(WRONG, "given more than once; give it once", ["query", twice])


def _record(served: ServedRun, body: Any, query: PredictQuery, spool: Spool) -> Upload:
    """The one record of a JSON body, as a file."""
    if not isinstance(body, dict):
        told = f"a JSON {json_kind(body)}; send one object, or several records a line each as {NDJSON}"
        raise RefusalError(WRONG, told, ["body"])
    fields = _fields(served, query)
    if fields is None:
        told = f"a run that has learned {served.task_name} reads files; send one as the body, as text/csv or image/png"
        raise RefusalError(WRONG, told, ["body"])
    for field in fields:
        if not isinstance(body.get(field), str):
            given = "is missing" if field not in body else f"is a JSON {json_kind(body[field])}"
            raise RefusalError(WRONG, f"the field {field!r} {given}; give it as a string", ["body", field])
    if query.name is not None or query.format is not None or query.encoding is not None:
        raise RefusalError(WRONG, "name, format and encoding are of files; leave them out", ["query"])
    upload = Upload(spool, "request.jsonl")
    upload.write(json.dumps(body) + "\n")
    return upload


def _fields(served: ServedRun, query: PredictQuery | None = None) -> list[str] | None:
    """The fields of a record, each a text; None where records are no JSON."""
    if served.task_name == "question-answering":
        return ["question", "context"]
    columns = getattr(served.run.recipe.data, "columns", None)
    if "text" not in served.run.task.predict_options or not isinstance(columns, tuple):
        return None
    return [(query and query.text_column) or columns[0]]


def _predict_body(served: ServedRun) -> dict[str, Any]:
    """The request body of `/predict` for OpenAPI."""
    fields = _fields(served)
    binary = {"schema": {"type": "string", "format": "binary"}}
    if fields is None:
        kinds = ["text/csv"] if served.task_name == "forecasting" else ["image/png", "image/jpeg", "text/csv"]
        return {"requestBody": {"required": True, "content": dict.fromkeys(kinds, binary)}}
    properties = {name: {"type": "string"} for name in fields} | {"id": {"type": "string"}}
    record = {"schema": {"type": "object", "required": fields, "properties": properties}}
    content = {"application/json": record} | dict.fromkeys((NDJSON, "text/csv", "text/plain"), binary)
    return {"requestBody": {"required": True, "content": content}}


def _forms(served: ServedRun) -> list[str]:
    """The forms in which answers can be had."""
    if not served.predicts:
        return []
    has = {"token-classification": OF_ENTITIES, "sequence-classification": OF_CLASSES}
    return ["jsonl", "csv", *has.get(served.task_name, ())]


def _add_completions(app: FastAPI, runs: Mapping[str, ServedRun], limits: Limits) -> None:
    writers = {name: served for name, served in runs.items() if not served.predicts}

    @app.get("/v1/models", tags=["completions"])
    async def models() -> dict[str, Any]:
        """The language models."""
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "reformer"} for name in writers]
        return {"object": "list", "data": listed}

    if not writers:
        return

    @app.post("/v1/completions", tags=["completions"], openapi_extra=_schema_of(CompletionRequest))
    async def completions(request: Request) -> Response:
        """Completions in the form of OpenAI's."""
        body = parsed(await read_body(request, Limits(min(limits.body, JSON_SIZE), limits.seconds)))
        try:
            asked = CompletionRequest.model_validate(body)
        except ValidationError as error:
            found = [dict(each, loc=("body", *each["loc"])) for each in error.errors(include_url=False)]
            raise RequestValidationError(found) from None
        if asked.model not in writers:
            told = f"there is no language model {asked.model!r}; name one of {', '.join(writers)}"
            raise RefusalError(WRONG, told, ["body", "model"])
        served = writers[asked.model]
        made = await run_in_threadpool(Completions, served, asked, limits)
        made.begin()
        if asked.stream:
            return Stream(made.events(), "text/event-stream", made.cancel)
        try:
            return JSONResponse(await while_connected(request, made.whole()))
        finally:
            made.cancel()


def _schema_of(model: Any) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


def _add_server(app: FastAPI, runs: Mapping[str, ServedRun], metrics: Metrics) -> None:
    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Whether the server can answer."""
        return {"status": "UP", "model_class": ", ".join(runs), "version": version("reformer-torch")}

    @app.get("/metrics")
    async def prometheus() -> Response:
        """Prometheus' metrics."""
        for name, served in runs.items():
            metrics.waiting.labels(name).set(served.engine.waiting)
        return PlainTextResponse(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/runs")
    async def names() -> list[str]:
        """The names of the runs."""
        return list(runs)

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return _page_file("index.html", "text/html")

    @app.get("/page/{name}", include_in_schema=False)
    async def page_file(name: str) -> Response:
        if name in SCRIPTS:
            return _page_file(name, "text/javascript")
        if name in ("page.css", "marks.css"):
            return _page_file(name, "text/css")
        return PlainTextResponse("there is no such file", 404)


def _page_file(name: str, kind: str) -> Response:
    place = SHARED if name == "marks.css" else PAGE
    return Response((place / name).read_bytes(), media_type=kind)
