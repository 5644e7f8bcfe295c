"""Texts of any size scored by a language model in constant memory; what is interrupted can be gone on with."""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from reformer.data import Stretch, find_text
from reformer.errors import ReformerError
from reformer.inference.scoring_state import ScoreState, read_state
from reformer.inference.token_score_files import TokenScoreFile, open_token_scores
from reformer.inference.token_scores import Reader, digest_of
from reformer.interruption import Interruption, StoppedError
from reformer.runs.folder import weights_file
from reformer.tasks.base import Run
from reformer.tasks.language_modelling import LanguageModelling

SECONDS_BETWEEN_STATES = 30.0
PIECE = 16384


class InterruptedScoreError(StoppedError):
    """Scoring was asked to stop; the message says what was kept."""


Progress = Callable[[Stretch, dict[str, float]], object]


def find_texts(files: Sequence[str]) -> list[Stretch]:
    """The files to score, each found readable and not empty before anything is computed.

    Raises:
        DataError: one is not.
        ReformerError: one is a folder.
    """
    for file in files:
        if Path(file).is_dir():
            raise ReformerError(f"{file}: this is a folder; give the files in it")
    return [stretch for file in files for stretch in find_text(file)]


def score(
    run: Run[LanguageModelling],
    texts: Sequence[Stretch],
    *,
    piece: int = PIECE,
    state: Path | None = None,
    per_token: Path | None = None,
    overwrite: bool = False,
    on_progress: Progress = lambda text, result: None,
) -> list[dict[str, Any]]:
    """Bits a byte and perplexity of each text, in one pass over it from its first token on.

    Args:
        run: a trained language model. Its longest length is raised where its positions have no end.
        texts: see `find_texts`; each is read on its own.
        piece: how many bytes to read at a time; it changes the time and the memory, and no number beyond rounding.
        state: keep here, every half minute and at the end, what is needed to go on. If the file is there the
            scoring goes on from it, and every number is as if it had not been interrupted.
        per_token: write every token's place, id and bits here, `.jsonl` or `.parquet`.
        overwrite: replace the file of a former scoring at `per_token`.
        on_progress: is told the text and its result so far after each piece.

    Returns:
        For each text `file`, `bytes`, `tokens`, `bits_per_byte`, `perplexity` and the `digest` of its bytes.

    Raises:
        DataError: a text cannot be read, or is not the one that the state was made from.
        ReformerError: the state or the file of tokens does not fit or cannot be written.
        InterruptedScoreError: Ctrl-C or a termination request; with `state` everything up to here is kept.
    """
    fingerprint = _fingerprint(run.folder)
    begun = state is not None and state.exists()
    found = read_state(state, fingerprint, piece) if state is not None and begun else ScoreState(fingerprint, piece)
    _check_done(found, texts, state)
    if begun and (found.per_token is None) != (per_token is None):
        expected = "with --per-token" if per_token is None else "without --per-token"
        raise ReformerError(f"{state}: this state was made {expected}; go on in the same way, or give another --state")
    surprises = None
    if per_token is not None:
        surprises = open_token_scores(
            per_token, resume_at=found.per_token, resumable=state is not None, overwrite=overwrite
        )
    with surprises or nullcontext(), Interruption() as interruption:
        for text in texts[len(found.done) :]:
            _read(run, text, found, state, surprises, on_progress, interruption)
    return found.done


def _read(
    run: Run[LanguageModelling],
    text: Stretch,
    found: ScoreState,
    state: Path | None,
    surprises: TokenScoreFile | None,
    on_progress: Progress,
    interruption: Interruption,
) -> None:
    """Read one text to its end, from where the state stands."""
    reader = Reader(run, text, found.piece)
    if found.totals is not None and found.digest is not None:
        reader.restore(found.tensors, found.totals, found.digest)
    saved = time.monotonic()
    for piece in reader:
        if surprises is not None:
            surprises.write(text.name, piece)
        on_progress(text, reader.totals.result())
        request = interruption.request
        if state is not None and (request is not None or time.monotonic() - saved > SECONDS_BETWEEN_STATES):
            found.tensors, found.totals = reader.state()
            found.digest = reader.digest
            _save(found, state, surprises)
            saved = time.monotonic()
        if request is not None:
            place = f"{text.name}: stopped at byte {reader.totals.position:,}; "
            kept = "give the same command again to go on" if state else "to be able to go on, give --state"
            raise InterruptedScoreError(place + kept, request)
    found.done.append({"file": text.name, **reader.totals.result(), "digest": reader.digest})
    found.tensors, found.totals, found.digest = {}, None, None
    if state is not None:
        _save(found, state, surprises)


def _save(found: ScoreState, path: Path, surprises: TokenScoreFile | None) -> None:
    if surprises is not None:
        found.per_token = surprises.length()
    found.write(path)


def _check_done(found: ScoreState, texts: Sequence[Stretch], state: Path | None) -> None:
    if len(found.done) > len(texts):
        raise ReformerError(
            f"{state}: {len(found.done)} texts were read, and {len(texts)} are given; give the same, or another --state"
        )
    for result, text in zip(found.done, texts, strict=False):
        if result["bytes"] != len(text) or result["digest"] != digest_of(text, len(text)):
            raise ReformerError(
                f"{state}: the state was made from {result['file']}, and {text.name} is not the same; give the same "
                "files in the same order, or another --state"
            )


def _fingerprint(folder: Path) -> str:
    """What two runs share only if their models and tokenizers are the same."""
    digest = hashlib.sha256()
    for name in (weights_file(folder), "config.json", "tokenizer.json"):
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
