"""Completions of a language model, in the form of OpenAI's interface of that name, whole or as server-sent events."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from reformer.data import token_bytes
from reformer.errors import ReformerError
from reformer.inference.text_generation import SamplingOptions, generate, prompt_ids
from reformer.serving.engine import QueueFullError, Work
from reformer.serving.records import busy, late
from reformer.serving.refusals import TOO_LARGE, WRONG, RefusalError
from reformer.serving.served_run import ServedRun
from reformer.serving.uploads import Limits

MOST_PROMPTS, MOST_CHOICES, MOST_STOPS = 32, 16, 4

Nothing = Annotated[None, Field(description="not known here: leave it out")]


class StreamOptions(BaseModel):
    """How a stream ends."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False


class CompletionRequest(BaseModel):
    """A request for completions. What has no effect here is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="the name of the run")
    prompt: str | Annotated[list[str], Field(min_length=1, max_length=MOST_PROMPTS)]
    max_tokens: Annotated[int, Field(ge=1)] = 16
    temperature: Annotated[float, Field(ge=0, le=2)] = Field(1.0, description="0: always the likeliest token")
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] = 1
    stop: str | Annotated[list[str], Field(max_length=MOST_STOPS)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    echo: Literal[False] = False
    best_of: Literal[1] = 1
    presence_penalty: Literal[0] = 0
    frequency_penalty: Literal[0] = 0
    suffix: Nothing = None
    logit_bias: Nothing = None
    user: str | None = Field(None, description="is neither used nor kept")

    @property
    def prompts(self) -> list[str]:
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt

    @property
    def stops(self) -> list[str]:
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [each for each in given if each]

    def sampling(self, choice: int) -> SamplingOptions:
        """How one of the choices is drawn: each of several with a seed of its own."""
        greedy = self.temperature == 0
        options = SamplingOptions(
            max_new_tokens=self.max_tokens,
            greedy=greedy,
            temperature=1.0 if greedy else self.temperature,
            top_p=1.0 if greedy else self.top_p,
        )
        return options if self.seed is None else replace(options, seed=self.seed + choice)


class _EndError(Exception):
    """The text is at its end before the model ends it."""


class Choice:
    """One completion as it is generated.

    Args:
        emit: is called with each part of the text, its log-probabilities where they are asked for, and at the end the
            reason.
    """

    def __init__(
        self,
        served: ServedRun,
        request: CompletionRequest,
        prompt: str,
        index: int,
        emit: Callable[[str, dict[str, Any] | None, str | None], object],
        cancelled: threading.Event,
    ) -> None:
        self.tokens = 0
        self._served, self._request, self._prompt, self._index = served, request, prompt, index
        self._emit, self._cancelled = emit, cancelled
        self._table = token_bytes(served.run.tokenizer)
        self._held, self._length, self._last = "", 0, -1
        self._logprobs: list[tuple[str, float, dict[str, float], int]] = []

    def generate(self) -> "Choice":
        """Generate the text to its end."""
        end = "length"
        options = self._request.sampling(self._index % self._request.n)
        try:
            generate(self._served.run, self._prompt.encode(), options, self._on_text, on_token=self._on_token)
        except _EndError:
            end = "stop"
        else:
            ends = self._served.run.model.config.eos_token_id
            if self._last in (ends if isinstance(ends, list) else [ends]):
                end = "stop"
            self._pass_on(self._held)
        self._emit("", None, end)
        return self

    def _on_token(self, token: int, logarithms: Any) -> None:
        if self._cancelled.is_set():
            raise _EndError
        self.tokens, self._last = self.tokens + 1, token
        if self._request.logprobs is None:
            return
        best = logarithms.topk(min(self._request.logprobs, len(logarithms)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        top = {self._name(each): value for each, value in pairs if value > float("-inf")}
        place = self._length + len(self._held)
        self._logprobs.append((self._name(token), float(logarithms[token]), top, place))

    def _name(self, token: int) -> str:
        """A token as text; bytes that are no text by themselves as escapes."""
        if self._table is None:
            return str(self._served.run.tokenizer.decode([token]))
        data = self._table[token]
        try:
            return data.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)

    def _on_text(self, text: str) -> None:
        """Pass on what is surely before a stop sequence."""
        self._held += text
        found = [place for stop in self._request.stops if (place := self._held.find(stop)) >= 0]
        if found:
            self._pass_on(self._held[: min(found)])
            raise _EndError
        kept = max((_overlap(self._held, stop) for stop in self._request.stops), default=0)
        self._pass_on(self._held[: len(self._held) - kept])

    def _pass_on(self, text: str) -> None:
        self._held = self._held[len(text) :]
        self._length += len(text)
        if text:
            self._emit(text, self._told(), None)

    def _told(self) -> dict[str, Any] | None:
        if self._request.logprobs is None:
            return None
        told, self._logprobs = self._logprobs, []
        names = ("tokens", "token_logprobs", "top_logprobs", "text_offset")
        return {name: [each[number] for each in told] for number, name in enumerate(names)}


def _overlap(text: str, stop: str) -> int:
    """How much of the end of a text a stop sequence may begin with."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)


class Completions:
    """The completions of one request, each of which is a work of the engine."""

    def __init__(self, served: ServedRun, request: CompletionRequest, limits: Limits) -> None:
        self._served, self._request, self._limits = served, request, limits
        self._id, self._created = f"cmpl-{uuid4().hex}", int(time.time())
        self._cancelled = threading.Event()
        self._events: asyncio.Queue[tuple[int, str, dict[str, Any] | None, str | None]] = asyncio.Queue()
        self._prompt_tokens = 0
        self._choices: list[Choice] = []
        self._futures: list[Future[Any]] = []
        if request.stream_options is not None and not request.stream:
            raise RefusalError(WRONG, "stream_options without stream; leave one out", ["body", "stream_options"])
        longest: int = served.run.model.config.max_position_embeddings
        for prompt in request.prompts:
            try:
                tokens = len(prompt_ids(served.run, prompt.encode()))
            except UnicodeEncodeError:
                raise RefusalError(
                    WRONG, "half of a surrogate pair, which is no character", ["body", "prompt"]
                ) from None
            except ReformerError as error:
                raise RefusalError(WRONG, str(error), ["body", "prompt"]) from None
            if tokens + request.max_tokens > longest:
                told = f"{tokens:,} tokens and {request.max_tokens:,} new ones, and the model has {longest:,} positions"
                raise RefusalError(TOO_LARGE, f"{told}; shorten the prompt, or lower max_tokens", ["body", "prompt"])
            self._prompt_tokens += tokens

    def begin(self) -> None:
        """Queue all choices.

        Raises:
            RefusalError: there is no room.
        """
        loop = asyncio.get_running_loop()

        def emit_of(index: int) -> Callable[[str, dict[str, Any] | None, str | None], object]:
            return lambda *event: loop.call_soon_threadsafe(self._events.put_nowait, (index, *event))

        for number, prompt in enumerate(self._request.prompts):
            for choice in range(self._request.n):
                index = number * self._request.n + choice
                made = Choice(self._served, self._request, prompt, index, emit_of(index), self._cancelled)
                work = Work(made, self._request.max_tokens, lambda batch: [batch[0].generate()], alone=True)
                try:
                    self._futures.append(self._served.engine.put(work))
                except QueueFullError as error:
                    self.cancel()
                    raise busy(error.retry_after) from None
                self._choices.append(made)

    def cancel(self) -> None:
        """Stop as soon as the next token comes."""
        self._cancelled.set()
        for future in self._futures:
            future.cancel()

    async def whole(self) -> dict[str, Any]:
        """The response with all choices."""
        texts = [""] * len(self._choices)
        ends: list[str | None] = [None] * len(self._choices)
        names = ("tokens", "token_logprobs", "top_logprobs", "text_offset")
        told: list[dict[str, list[Any]]] = [{name: [] for name in names} for _ in self._choices]
        async for index, text, logprobs, end in self._parts():
            texts[index] += text
            ends[index] = end or ends[index]
            for name, values in (logprobs or {}).items():
                told[index][name] += values
        with_logprobs = self._request.logprobs is not None
        choices = [
            {"text": text, "index": index, "logprobs": told[index] if with_logprobs else None,
             "finish_reason": ends[index]}
            for index, text in enumerate(texts)
        ]  # fmt: skip
        return self._response(choices) | {"usage": self._usage()}

    async def events(self) -> AsyncGenerator[str]:
        """Server-sent events, one for each part of a text."""
        try:
            async for index, text, logprobs, end in self._parts():
                choice = {"text": text, "index": index, "logprobs": logprobs, "finish_reason": end}
                yield _event(self._response([choice]))
            if self._request.stream_options is not None and self._request.stream_options.include_usage:
                yield _event(self._response([]) | {"usage": self._usage()})
        except RefusalError as refusal:
            yield _event({"error": {"message": refusal.detail[0]["msg"], "type": "refused", "code": refusal.status}})
        yield "data: [DONE]\n\n"

    async def _parts(self) -> AsyncIterator[tuple[int, str, dict[str, Any] | None, str | None]]:
        left = len(self._choices)
        failed = asyncio.gather(*map(asyncio.wrap_future, self._futures))
        # asyncio would write into the log of one that is cancelled before somebody looks at it.
        failed.add_done_callback(lambda future: future.cancelled() or future.exception())
        try:
            while left:
                if failed.done():
                    # A mistake is raised here.
                    failed.result()
                event = asyncio.ensure_future(self._events.get())
                waited: set[asyncio.Future[Any]] = {event} if failed.done() else {event, failed}
                done, _ = await asyncio.wait(waited, timeout=self._limits.seconds, return_when=asyncio.FIRST_COMPLETED)
                if event in done:
                    left -= event.result()[3] is not None
                    yield event.result()
                    continue
                event.cancel()
                if not done:
                    raise late(self._limits)
        finally:
            self.cancel()
            failed.cancel()

    def _response(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        told = {"id": self._id, "object": "text_completion", "created": self._created, "model": self._served.name}
        return told | {"choices": choices}

    def _usage(self) -> dict[str, int]:
        made = sum(choice.tokens for choice in self._choices)
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": made,
            "total_tokens": self._prompt_tokens + made,
        }


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
