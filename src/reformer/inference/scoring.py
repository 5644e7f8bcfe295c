"""Scoring of texts of any size by a language model, in constant memory and resumable."""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from reformer.data import Stretch, find_text
from reformer.data.standard_input import STANDARD_INPUT
from reformer.errors import ReformerError
from reformer.inference.scoring_state import ScoreState, read_state
from reformer.inference.token_score_files import TokenScoreFile, open_token_scores
from reformer.inference.token_scores import TextScorer, digest_of
from reformer.interruption import Interruption, StoppedError
from reformer.runs.folder import weights_file
from reformer.tasks.base import Run
from reformer.tasks.language_modelling import LanguageModelling

SECONDS_BETWEEN_STATES = 30.0
PIECE = 16384


class InterruptedScoreError(StoppedError):
    """Scoring was stopped on request; the message says what was kept."""


Progress = Callable[[Stretch, dict[str, float]], object]


def find_texts(files: Sequence[str]) -> list[Stretch]:
    """The files to score, checked to be readable and not empty before anything is computed.

    Raises:
        DataError: one is not.
        ReformerError: one is a folder, or standard input.
    """
    if STANDARD_INPUT in files:
        raise ReformerError(
            f"{STANDARD_INPUT}: a text is read by its bytes, at several places; write standard input into a file first"
        )
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
    """Bits per byte and perplexity of each text, in one pass over it from its first token on.

    Args:
        run: a trained language model. Its longest length is raised where its positions have no end.
        texts: see `find_texts`; each is read on its own.
        piece: how many bytes to read at a time; it changes time and memory, and results by rounding alone.
        state: file for the state, written every half minute and at the end. If it exists, scoring continues from it
            with the same results as without the interruption.
        per_token: file for every token's place, id and bits, `.jsonl` or `.parquet`.
        overwrite: replace the file of a former scoring at `per_token`.
        on_progress: called after each piece with the text and its result so far.

    Returns:
        For each text `file`, `bytes`, `tokens`, `bits_per_byte`, `perplexity` and the `digest` of its bytes.

    Raises:
        DataError: a text cannot be read, or is not the one that the state was made from.
        ReformerError: the state or the file of tokens does not fit or cannot be written.
        InterruptedScoreError: Ctrl-C or a termination request; with `state` everything up to there is kept.
    """
    fingerprint = _fingerprint(run.folder)
    begun = state is not None and state.exists()
    progress = read_state(state, fingerprint, piece) if state is not None and begun else ScoreState(fingerprint, piece)
    _check_done(progress, texts, state)
    if begun and (progress.per_token is None) != (per_token is None):
        expected = "with --per-token" if per_token is None else "without --per-token"
        raise ReformerError(f"{state}: this state was made {expected}; go on in the same way, or give another --state")
    token_file = None
    if per_token is not None:
        token_file = open_token_scores(
            per_token, resume_at=progress.per_token, resumable=state is not None, overwrite=overwrite
        )
    with token_file or nullcontext(), Interruption() as interruption:
        for text in texts[len(progress.done) :]:
            _score_text(run, text, progress, state, token_file, on_progress, interruption)
    return progress.done


def _score_text(
    run: Run[LanguageModelling],
    text: Stretch,
    progress: ScoreState,
    state: Path | None,
    token_file: TokenScoreFile | None,
    on_progress: Progress,
    interruption: Interruption,
) -> None:
    """Score one text to its end, from where the state stands."""
    scorer = TextScorer(run, text, progress.piece)
    if progress.totals is not None and progress.digest is not None:
        scorer.restore(progress.tensors, progress.totals, progress.digest)
    saved = time.monotonic()
    for scores in scorer:
        if token_file is not None:
            token_file.write(text.name, scores)
        on_progress(text, scorer.totals.result())
        request = interruption.request
        if state is not None and (request is not None or time.monotonic() - saved > SECONDS_BETWEEN_STATES):
            progress.tensors, progress.totals = scorer.state()
            progress.digest = scorer.digest
            _save(progress, state, token_file)
            saved = time.monotonic()
        if request is not None:
            place = f"{text.name}: stopped at byte {scorer.totals.position:,}; "
            kept = "give the same command again to go on" if state else "to be able to go on, give --state"
            raise InterruptedScoreError(place + kept, request)
    progress.done.append({"file": text.name, **scorer.totals.result(), "digest": scorer.digest})
    progress.tensors, progress.totals, progress.digest = {}, None, None
    if state is not None:
        _save(progress, state, token_file)


def _save(progress: ScoreState, path: Path, token_file: TokenScoreFile | None) -> None:
    if token_file is not None:
        progress.per_token = token_file.length()
    progress.write(path)


def _check_done(progress: ScoreState, texts: Sequence[Stretch], state: Path | None) -> None:
    """Refuse other texts than those that the state has results of."""
    if len(progress.done) > len(texts):
        raise ReformerError(
            f"{state}: {len(progress.done)} texts were read, and {len(texts)} are given; give the same, or another "
            "--state"
        )
    for result, text in zip(progress.done, texts, strict=False):
        if result["bytes"] != len(text) or result["digest"] != digest_of(text, len(text)):
            raise ReformerError(
                f"{state}: the state was made from {result['file']}, and {text.name} is not the same; give the same "
                "files in the same order, or another --state"
            )


def _fingerprint(folder: Path) -> str:
    """Digest of a run's model and tokenizer."""
    digest = hashlib.sha256()
    for name in (weights_file(folder), "config.json", "tokenizer.json"):
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
