"""Text made by a language model, given out as it comes and never in the middle of a character."""

import codecs
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast
from transformers.generation.streamers import BaseStreamer

from reformer.data import byte_ids_begin, encode_piece, token_bytes
from reformer.errors import ReformerError
from reformer.tasks.base import Run
from reformer.tasks.language_modelling import LanguageModelling

# Tokens that make no whole character are given out after so many: a character has at most four bytes.
PATIENCE = 8
NO_CHARACTER = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """How the next token is chosen.

    Args:
        max_new_tokens: how many tokens to make; fewer if the model ends the text by itself.
        greedy: always the most likely token.
        temperature: below 1 the likely tokens become likelier, above 1 less likely.
        top_k: only among the so many likeliest tokens; 0 for all.
        top_p: only among the likeliest tokens that together have this probability.
        beams: follow so many texts at a time and keep the likeliest; 1 for none of that.
        num_rounds: how many hash rounds are seen; None for as many as the model was made with.
        seed: of the choice; None for another one each time.

    Raises:
        ReformerError: a value that makes no sense, or two that do not go together.
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
        if not self.temperature > 0:
            raise ReformerError(f"temperature {self.temperature}: expected more than 0; for the likeliest: greedy")
        if not 0 < self.top_p <= 1:
            raise ReformerError(f"top-p {self.top_p}: expected a probability above 0 and up to 1")
        if (self.greedy or self.beams > 1) and (self.temperature, self.top_k, self.top_p) != (1.0, 0, 1.0):
            raise ReformerError("temperature, top-k and top-p are for drawing at random; leave out greedy and beams")


def prompt_ids(run: Run[LanguageModelling], prompt: bytes) -> list[int]:
    """The token ids of a prompt; a model over bytes takes any bytes.

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
    decoding: SamplingOptions,
    on_text: Callable[[str], object] = lambda text: None,
) -> str:
    """The text that the model puts behind a prompt; `on_text` is given each part of it as soon as it is there.

    Neither reads nor sets the global random state when there is a seed. With beams the text is given whole at the end.

    Raises:
        ReformerError: see `prompt_ids`; prompt and new tokens are more than the model has positions for; or rounds are
            asked of a model that does not hash.
    """
    if decoding.num_rounds is not None and not run.model.config.is_hashed:
        raise ReformerError(f"{decoding.num_rounds} hash rounds of a model that has no hashed layer; leave them out")
    ids = prompt_ids(run, prompt)
    longest = run.model.config.max_position_embeddings
    if len(ids) + decoding.max_new_tokens > longest:
        raise ReformerError(
            f"a prompt of {len(ids):,} tokens and {decoding.max_new_tokens:,} new ones are more than the {longest:,} "
            "positions this model has; give a shorter prompt, or fewer new tokens"
        )
    parts: list[str] = []

    def take(text: str) -> None:
        parts.append(text)
        on_text(text)

    streamer = _Streamer(run.tokenizer, take)
    input_ids = torch.tensor([ids], device=run.model.device)
    with _seeded(decoding.seed):
        made: Any = run.model.generate(  # pyright: ignore[reportCallIssue]
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids),
            streamer=streamer if decoding.beams == 1 else None,
            **_options(run, decoding),
        )
    if decoding.beams > 1:
        streamer.put(input_ids[0])
        streamer.put(made[0, len(ids) :])
        streamer.end()
    return "".join(parts)


def _options(run: Run[LanguageModelling], decoding: SamplingOptions) -> dict[str, Any]:
    """What transformers' `generate` is told."""
    config = run.model.config
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    options: dict[str, Any] = {
        "max_new_tokens": decoding.max_new_tokens,
        "num_beams": decoding.beams,
        "do_sample": not decoding.greedy and decoding.beams == 1,
        "pad_token_id": config.pad_token_id,
        "use_cache": True,
        # Running text has no such token, so the model has learned nothing of them.
        "suppress_tokens": [token for token in run.tokenizer.all_special_ids if token not in ends],
    }
    if decoding.num_rounds is not None:
        options["num_rounds"] = decoding.num_rounds
    if options["do_sample"]:
        options |= {"temperature": decoding.temperature, "top_k": decoding.top_k, "top_p": decoding.top_p}
    return options


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


class _Streamer(BaseStreamer):
    """Gives out whole characters of the new tokens; the first call brings the prompt."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, on_text: Callable[[str], object]) -> None:
        self._on_text = on_text
        table = token_bytes(tokenizer)
        self._decoder = _WholeTokens(tokenizer) if table is None else _Bytes(table)
        self._prompt = True

    def put(self, value: Tensor) -> None:
        if self._prompt:
            self._prompt = False
            return
        for token in value.flatten().tolist():
            self._give(self._decoder.decode(token))

    def end(self) -> None:
        self._give(self._decoder.rest())

    def _give(self, text: str) -> None:
        if text:
            self._on_text(text)


class _Bytes:
    """Characters from tokens that stand for bytes; what is no UTF-8 is shown as such."""

    def __init__(self, table: list[bytes]) -> None:
        self._table = table
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def decode(self, token: int) -> str:
        return self._decoder.decode(self._table[token])

    def rest(self) -> str:
        return self._decoder.decode(b"", final=True)


class _WholeTokens:
    """Characters from tokens of any other kind, which are decoded together with the ones before: a space may hang on
    the token before it, and a character may be made of several."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._given: list[int] = []
        self._waiting: list[int] = []

    def decode(self, token: int) -> str:
        self._waiting.append(token)
        text = self._new_text()
        if text.endswith(NO_CHARACTER) and len(self._waiting) < PATIENCE:
            return ""
        self._given, self._waiting = self._waiting, []
        return text

    def rest(self) -> str:
        return self._new_text() if self._waiting else ""

    def _new_text(self) -> str:
        before = self._text(self._given)
        return self._text(self._given + self._waiting)[len(before) :]

    def _text(self, ids: list[int]) -> str:
        text = self._tokenizer.decode(ids, skip_special_tokens=True)
        assert isinstance(text, str)
        return text
