"""Surprisal of every token of a text under a language model, in pieces and with a state that does not grow."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from reformer.data import DataError, Stretch, byte_ids_begin, open_text, read_bytes, text_pieces
from reformer.metrics.language import bits_per_byte, perplexity
from reformer.models.streaming import Stream
from reformer.tasks.base import Run
from reformer.tasks.language_modelling import LanguageModelling
from reformer.wording import counted

# Logits over the vocabulary are computed for this many numbers at a time: 16 MB in float32.
LOGITS_AT_A_TIME = 1 << 22
# Kinds of positions without a table, with which a model reads beyond the length it was trained with.
WITHOUT_END = ("rotary", "sinusoidal", "none")


@dataclass
class Totals:
    """Counts of a text up to `position`, in bytes: tokens, predicted tokens, and the summed loss of these in nats.

    The first token has no context to be predicted from, so neither it nor its bytes count in the scores.
    """

    position: int = 0
    tokens: int = 0
    predicted: int = 0
    first_bytes: int = 0
    loss: float = 0.0

    def result(self) -> dict[str, float]:
        """`bytes`, `tokens`, `bits_per_byte` and `perplexity`; the last two are NaN before the second token."""
        predicted_bytes = self.position - self.first_bytes
        mean = self.loss / self.predicted if self.predicted else float("nan")
        ratio = predicted_bytes / self.predicted if self.predicted and predicted_bytes else float("nan")
        return {
            "bytes": self.position,
            "tokens": self.tokens,
            "bits_per_byte": bits_per_byte(mean, ratio),
            "perplexity": perplexity(mean),
        }


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Tokens of one piece: ids, their bytes `starts` to `ends` in the text, and surprisals `bits`, of which that of a
    text's first token is NaN."""

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    bits: np.ndarray


class TextScorer:
    """Scorer of one text by a run's model: iterating yields the `TokenScores` of piece after piece.

    Between two pieces, `state()` is all that another scorer needs to continue, by `restore`, with the same numbers as
    without the interruption. With local and hashed layers memory does not grow with the text.

    Args:
        run: a trained language model.
        text: the text to score.
        piece: how many bytes of it to read at a time.

    Raises:
        DataError: a text that is not UTF-8 for a model whose tokens are characters, or one with more tokens than the
            model has positions for.
    """

    def __init__(self, run: Run[LanguageModelling], text: Stretch, piece: int) -> None:
        self.totals = Totals()
        self._run, self._text, self._piece = run, text, piece
        self._bytes_begin = byte_ids_begin(run.tokenizer)
        self._stream = Stream(run.model.base_model)
        self._last: Tensor | None = None
        self._digest = hashlib.sha256()
        config = run.model.config
        if config.position_embedding_type in WITHOUT_END:
            config.max_position_embeddings = max(config.max_position_embeddings, len(text))
        self._longest = config.max_position_embeddings

    @property
    def digest(self) -> str:
        """The SHA-256 of the bytes that were read."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[TokenScores]:
        text, totals = self._text, self.totals
        with open_text(text) as file:
            if self._bytes_begin is not None:
                while totals.position < len(text):
                    data = read_bytes(file, text, totals.position, self._piece)
                    starts = totals.position + np.arange(len(data))
                    ids = np.frombuffer(data, dtype=np.uint8).astype(np.int64) + self._bytes_begin
                    yield self._read(ids, starts, starts + 1, data)
                return
        rest = Stretch(text.path, totals.position, text.stop, text.name)
        for offset, piece in text_pieces(rest, self._piece):
            yield self._read(*self._tokens(offset, piece), piece.encode())

    def state(self) -> tuple[dict[str, Tensor], dict[str, float]]:
        """The tensors and the numbers to continue from."""
        tensors = {f"stream.{name}": tensor for name, tensor in self._stream.state().items()}
        if self._last is not None:
            tensors["last"] = self._last.clone()
        return tensors, asdict(self.totals)

    def restore(self, tensors: dict[str, Tensor], totals: dict[str, float], digest: str) -> None:
        """Continue from a `state`; `digest` is that of the bytes that were read then.

        Raises:
            DataError: the text is not the one that was read.
        """
        restored = Totals(**totals)  # pyright: ignore[reportArgumentType]
        self._digest = hashlib.sha256()
        if restored.position <= len(self._text):
            _hash(self._text, restored.position, self._digest)
        if self.digest != digest:
            raise DataError(
                self._text.name,
                None,
                f"its first {restored.position:,} bytes are not those that the state was made from",
                "give the same file as before, or another --state",
            )
        self._stream.restore(
            {name.removeprefix("stream."): value for name, value in tensors.items() if name.startswith("stream.")}
        )
        last = tensors.get("last")
        self._last = None if last is None else last.to(self._run.model.device)
        self.totals = restored

    def _tokens(self, offset: int, piece: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ids, and where in the text the bytes of each token begin and end."""
        encoding = self._run.tokenizer(piece, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        # The bytes before each character of the piece, and before its end.
        codes = np.frombuffer(piece.encode("utf-32-le"), dtype=np.uint32)
        widths = 1 + (codes > 0x7F).astype(np.int64) + (codes > 0x7FF) + (codes > 0xFFFF)
        before = offset + np.concatenate(([0], np.cumsum(widths)))
        places = np.array(encoding["offset_mapping"], dtype=np.int64).reshape(-1, 2)
        return np.array(encoding["input_ids"], dtype=np.int64), before[places[:, 0]], before[places[:, 1]]

    @torch.inference_mode()
    def _read(self, ids: np.ndarray, starts: np.ndarray, ends: np.ndarray, data: bytes) -> TokenScores:
        totals = self.totals
        if totals.tokens + len(ids) > self._longest:
            raise DataError(
                self._text.name,
                None,
                f"it has more than {counted(self._longest, 'token')}, the positions this model has",
                "split it, or train with rotary positions, which have no end",
            )
        loss = np.zeros(0)
        if len(ids):
            loss = self._losses(torch.from_numpy(ids).to(self._run.model.device))
        bits = loss / np.log(2)
        if not totals.tokens and len(ids):
            totals.first_bytes = int(starts[1] if len(ids) > 1 else totals.position + len(data))
            bits = np.concatenate(([np.nan], bits))
        totals.position += len(data)
        totals.tokens += len(ids)
        totals.predicted += len(loss)
        totals.loss += float(loss.sum())
        self._digest.update(data)
        return TokenScores(ids, starts, ends, bits)

    def _losses(self, ids: Tensor) -> np.ndarray:
        """The losses, in nats, of these tokens; a text's first token has none."""
        hidden = self._stream(ids[None]).last_hidden_state[0]
        before = hidden[:-1] if self._last is None else torch.cat((self._last, hidden[:-1]))
        targets = ids[len(ids) - len(before) :]
        self._last = hidden[-1:].clone()
        head = self._run.model.get_output_embeddings()
        assert head is not None
        size = max(1, LOGITS_AT_A_TIME // self._run.model.config.vocab_size)
        losses = [
            cross_entropy(head(rows).float(), labels, reduction="none").cpu().numpy().astype(np.float64)
            for rows, labels in zip(before.split(size), targets.split(size), strict=True)
        ]
        return np.concatenate(losses) if losses else np.zeros(0)


def digest_of(text: Stretch, size: int) -> str:
    """The SHA-256 of the first `size` bytes of a text."""
    digest = hashlib.sha256()
    _hash(text, size, digest)
    return digest.hexdigest()


def _hash(text: Stretch, size: int, digest: Any) -> None:
    with open_text(text) as file:
        for offset in range(0, size, 1 << 20):
            digest.update(read_bytes(file, text, offset, min(1 << 20, size - offset)))
