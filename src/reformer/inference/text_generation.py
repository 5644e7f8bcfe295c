"""Generation of text by a language model, streamed in whole characters."""

import codecs
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerFast
from transformers.generation.logits_process import LogitsProcessor, LogitsProcessorList
from transformers.generation.streamers import BaseStreamer

from reformer.data import byte_ids_begin, encode_piece, token_bytes
from reformer.errors import ReformerError
from reformer.tasks.base import Run
from reformer.tasks.language_modelling import LanguageModelling
from reformer.wording import counted

# Tokens without a whole character are passed on after this many: a character has at most four bytes, and tokens that
# stand for part of one would be held back for ever.
PATIENCE = 8
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

OnToken = Callable[[int, Float[Tensor, " vocabulary"]], object]
"""Called with a new token and the logarithms of all tokens' probabilities."""

TEMPERATURES = (1e-6, 1e6)
"""The least and the greatest: divided by numbers beyond, logits overflow in float32, or are all alike."""


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """Sampling of the next token.

    Args:
        max_new_tokens: how many tokens to generate; fewer if the model ends the text by itself.
        greedy: always take the most likely token.
        temperature: divisor of the logits; below 1 it sharpens the distribution, above 1 it flattens it.
        top_k: sample among the `top_k` most likely tokens only; 0 for all.
        top_p: sample among the most likely tokens that together have this probability.
        beams: number of beams in beam search; 1 for none.
        num_rounds: number of hash rounds; None for the model's own.
        seed: of the sampling; None to draw from the global random state.

    Raises:
        ReformerError: a value is out of range, or two exclude each other.
    """

    max_new_tokens: int = 256
    greedy: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    beams: int = 1
    num_rounds: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1 or self.beams < 1 or self.top_k < 0:
            raise ReformerError("expected at least one new token, at least one beam, and a top-k of 0 (all) or more")
        if not TEMPERATURES[0] <= self.temperature <= TEMPERATURES[1]:
            expected = f"expected a number from {TEMPERATURES[0]:g} to {TEMPERATURES[1]:,.0f}"
            raise ReformerError(f"temperature {self.temperature}: {expected}; for the likeliest: greedy")
        if not 0 < self.top_p <= 1:
            raise ReformerError(f"top-p {self.top_p}: expected a probability above 0 and up to 1")
        if self.seed is not None and not 0 <= self.seed < 2**64:
            raise ReformerError(f"seed {self.seed}: expected a whole number from 0 up to 2^64 - 1")
        if (self.greedy or self.beams > 1) and (self.temperature, self.top_k, self.top_p) != (1.0, 0, 1.0):
            raise ReformerError("temperature, top-k and top-p are for drawing at random; leave out greedy and beams")


def prompt_ids(run: Run[LanguageModelling], prompt: bytes) -> list[int]:
    """Token ids of a prompt; a model over bytes takes any bytes.

    Raises:
        ReformerError: it is empty, not UTF-8, or has what is not in the model's vocabulary.
    """
    tokenizer, begin = run.tokenizer, byte_ids_begin(run.tokenizer)
    if not prompt:
        raise ReformerError("the prompt is empty; give at least one character")
    if begin is not None:
        return [begin + byte for byte in prompt]
    try:
        text = prompt.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ReformerError(f"byte {error.start} of the prompt is not UTF-8; give it as UTF-8") from None
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    for token, (start, end) in zip(encoding["input_ids"], encoding["offset_mapping"], strict=True):
        if token == tokenizer.unk_token_id or token >= run.model.config.vocab_size:
            raise ReformerError(
                f"the prompt has {text[start:end]!r} at character {start}, outside the model's vocabulary; leave it out"
            )
    ids = encode_piece(tokenizer, text)
    if not ids:
        raise ReformerError("the prompt has no token; give at least one character that is no space")
    return ids


def generate(
    run: Run[LanguageModelling],
    prompt: bytes,
    options: SamplingOptions,
    on_text: Callable[[str], object] = lambda text: None,
    *,
    on_token: OnToken | None = None,
) -> str:
    """The continuation of a prompt; `on_text` is called with each part of it as soon as it is generated.

    Before it, `on_token` is called with each new token and the logarithms of all tokens' probabilities there, as the
    model has them: before temperature, top-k and top-p. With beams it cannot be. What either raises ends the text.

    With a seed, the global random state is neither read nor set. With beams the text comes whole at the end.

    Raises:
        ReformerError: see `prompt_ids`; prompt and new tokens are more than the model has positions for; or a number
            of rounds for a model without hashed layers.
    """
    if options.num_rounds is not None and not run.model.config.is_hashed:
        raise ReformerError(f"{options.num_rounds} hash rounds of a model that has no hashed layer; leave them out")
    if on_token is not None and options.beams > 1:
        raise ReformerError("tokens as they are generated, and beams, which choose all at the end; leave one out")
    ids = prompt_ids(run, prompt)
    longest = run.model.config.max_position_embeddings
    if len(ids) + options.max_new_tokens > longest:
        raise ReformerError(
            f"a prompt of {counted(len(ids), 'token')} and {options.max_new_tokens:,} new ones are more than the "
            f"{longest:,} "
            "positions this model has; give a shorter prompt, or fewer new tokens"
        )
    parts: list[str] = []

    def take(text: str) -> None:
        parts.append(text)
        on_text(text)

    recorder = None if on_token is None else _Recorder(on_token)
    streamer = _Streamer(run.tokenizer, take, recorder)
    input_ids = torch.tensor([ids], device=run.model.device)
    with _seeded(options.seed):
        sequences: Any = run.model.generate(  # pyright: ignore[reportCallIssue]
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids),
            streamer=streamer if options.beams == 1 else None,
            logits_processor=LogitsProcessorList([] if recorder is None else [recorder]),
            **_generate_arguments(run, options),
        )
    if options.beams > 1:
        streamer.put(input_ids[0])
        streamer.put(sequences[0, len(ids) :])
        streamer.end()
    return "".join(parts)


def _generate_arguments(run: Run[LanguageModelling], options: SamplingOptions) -> dict[str, Any]:
    """Arguments of transformers' `generate`."""
    config = run.model.config
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    arguments: dict[str, Any] = {
        "max_new_tokens": options.max_new_tokens,
        "num_beams": options.beams,
        "do_sample": not options.greedy and options.beams == 1,
        "pad_token_id": config.pad_token_id,
        "use_cache": True,
        # Running text has no special tokens: their logits are untrained, and would be sampled as any others.
        "suppress_tokens": [token for token in run.tokenizer.all_special_ids if token not in ends],
    }
    if options.num_rounds is not None:
        arguments["num_rounds"] = options.num_rounds
    if arguments["do_sample"]:
        arguments |= {"temperature": options.temperature, "top_k": options.top_k, "top_p": options.top_p}
    return arguments


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


class _Recorder(LogitsProcessor):
    """Keeper of the probabilities that a token was chosen by; it changes none."""

    def __init__(self, on_token: OnToken) -> None:
        self._on_token = on_token
        self._scores: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self._scores = scores[0]
        return scores

    def take(self, token: int) -> None:
        assert self._scores is not None
        self._on_token(token, self._scores.float().log_softmax(-1))


class _Streamer(BaseStreamer):
    """Streamer of the whole characters of new tokens; its first `put` has the prompt."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        on_text: Callable[[str], object],
        recorder: "_Recorder | None" = None,
    ) -> None:
        self._on_text, self._recorder = on_text, recorder
        table = token_bytes(tokenizer)
        self._decoder = _WholeTokens(tokenizer) if table is None else _Bytes(table)
        self._prompt = True

    def put(self, value: Tensor) -> None:
        if self._prompt:
            self._prompt = False
            return
        for token in value.flatten().tolist():
            if self._recorder is not None:
                self._recorder.take(token)
            self._pass_on(self._decoder.decode(token))

    def end(self) -> None:
        self._pass_on(self._decoder.rest())

    def _pass_on(self, text: str) -> None:
        if text:
            self._on_text(text)


class _Bytes:
    """Decoder of tokens that stand for bytes; those that are not UTF-8 become replacement characters."""

    def __init__(self, table: list[bytes]) -> None:
        self._table = table
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def decode(self, token: int) -> str:
        return self._decoder.decode(self._table[token])

    def rest(self) -> str:
        return self._decoder.decode(b"", final=True)


class _WholeTokens:
    """Decoder of tokens of any other kind, each together with the ones before it: they decide whether a space precedes
    it, and a character may consist of several tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._decoded: list[int] = []
        self._waiting: list[int] = []

    def decode(self, token: int) -> str:
        self._waiting.append(token)
        text = self._new_text()
        if text.endswith(REPLACEMENT) and len(self._waiting) < PATIENCE:
            return ""
        self._decoded, self._waiting = self._waiting, []
        return text

    def rest(self) -> str:
        return self._new_text() if self._waiting else ""

    def _new_text(self) -> str:
        before = self._text(self._decoded)
        return self._text(self._decoded + self._waiting)[len(before) :]

    def _text(self, ids: list[int]) -> str:
        text = self._tokenizer.decode(ids, skip_special_tokens=True)
        assert isinstance(text, str)
        return text
