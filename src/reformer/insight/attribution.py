"""Attribution of a run's answer to the characters of a document, by integrated gradients."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from reformer.errors import ReformerError
from reformer.insight.inspect_texts import InspectedText
from reformer.tasks.base import Run
from reformer.tasks.documents.task import DocumentTask
from reformer.tasks.language_modelling import LanguageModelling
from reformer.tasks.masked_language_modelling import MaskedLanguageModelling
from reformer.wording import counted

STEPS = 32
"""Points between the baseline and the text at which gradients are taken."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Characters that share tokens, and what they add to an answer."""

    start: int
    end: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """What each character of a document adds to one answer about it."""

    document: int
    """Its number, from 1."""
    answer: str
    """Label or token, in words."""
    place: tuple[int, int] | None
    """The characters that it is about; None where it is about the whole document."""
    text: str
    pieces: list[Piece]
    """In the order of the text. Their values, `elsewhere` and `gap` add up to `score - baseline`."""
    elsewhere: float
    """What tokens without characters add, such as those around a text."""
    score: float
    """The logarithm of the answer's probability; of a random field, that by the token's own scores."""
    baseline: float
    """The same where every token is padding."""
    gap: float
    """What the values do not account for: where tokens change their buckets between the baseline and the text the score
    jumps, and no gradient tells of it."""
    steps: int


def check_attributable(run: Run[Any], character: int | None) -> None:
    """Raise `ReformerError` unless an answer of this run can be attributed.

    Args:
        character: the one that the answer is about; None for an answer about a whole document.
    """
    if find_spec("captum") is None:
        raise ReformerError("--attribute: captum is not installed: pip install 'reformer-torch[attribution]'")
    task, name = run.task, run.recipe.training.task
    if not isinstance(task, DocumentTask | LanguageModelling | MaskedLanguageModelling):
        raise ReformerError(
            f"--attribute: the answers of {name} are not attributed; those of labellers, classifiers, language models "
            "and masked ones are"
        )
    if getattr(run.model.config, "classifier_reads", None) == "characters":
        raise ReformerError(
            '--attribute: this run labels characters within tokens (classifier_reads = "characters"), which '
            "embeddings of tokens alone do not decide"
        )
    about_document = isinstance(task, DocumentTask) and not _labels_tokens(run)
    if about_document and character is not None:
        raise ReformerError(f"--attribute: an answer of {name} is about a whole document; give its number alone")
    if not about_document and character is None:
        raise ReformerError(f"--attribute: an answer of {name} is about a place; give DOCUMENT:POSITION")


def _labels_tokens(run: Run[Any]) -> bool:
    return run.recipe.training.task == "token-classification"


def attribution(run: Run[Any], text: InspectedText, number: int, token: int | None) -> Attribution:
    """Attribute the answer about a token, or about a whole document, to the document's characters.

    Integrated gradients (Sundararajan, Taly and Yan 2017) of the logarithm of the answer's probability, through
    `inputs_embeds`, from embeddings of padding; from zero, norms would bring the text to its full size at once. Where a
    model reads token ids beside its embeddings (a wide part, n-grams), it reads those of the text throughout, and their
    share is in the baseline.

    Args:
        number: the document's, from 1.
        token: its number in the text; None for an answer about the whole.

    Raises:
        ReformerError: the token has nothing before it to be told by.
    """
    from captum.attr import IntegratedGradients  # pyright: ignore[reportMissingImports]

    assert text.ids is not None
    assert text.text is not None
    assert text.offsets is not None
    model: Any = run.model
    ids = torch.from_numpy(text.ids).long()[None].to(model.device)
    answer, score = _answer(run, ids, token)
    if isinstance(run.task, MaskedLanguageModelling) and token is not None:
        mask: Any = run.tokenizer.mask_token_id
        ids[0, token] = mask
    embeddings = model.get_input_embeddings()
    with torch.no_grad():
        vectors, nothing = embeddings(ids), embeddings(torch.full_like(ids, model.config.pad_token_id or 0))
    run_on = _reader(model, ids, vectors)

    def scored(given: Tensor) -> Float[Tensor, " batch"]:
        return score(run_on(given))

    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            reached, begun = float(scored(vectors)[0]), float(scored(nothing)[0])
        # One point at a time: a long document fills the memory alone.
        found = IntegratedGradients(scored).attribute(vectors, nothing, n_steps=STEPS, internal_batch_size=1)
    finally:
        model.train(was_training)
    values = found[0].sum(-1).double().tolist()
    pieces = dict.fromkeys((place for place in map(tuple, text.offsets) if place[1] > place[0]), 0.0)
    elsewhere = 0.0
    for place, value in zip(map(tuple, text.offsets), values, strict=True):
        if place in pieces:
            pieces[place] += value
        else:
            elsewhere += value
    return Attribution(
        document=number,
        answer=answer,
        place=None if token is None else (text.offsets[token][0], text.offsets[token][1]),
        text=text.text,
        pieces=[Piece(start, end, value) for (start, end), value in sorted(pieces.items())],
        elsewhere=elsewhere,
        score=reached,
        baseline=begun,
        gap=reached - begun - sum(values),
        steps=STEPS,
    )


Score = Callable[[Float[Tensor, "batch *any"]], Float[Tensor, " batch"]]


def _answer(run: Run[Any], ids: Int[Tensor, "1 length"], token: int | None) -> tuple[str, Score]:
    """An answer in words, and the logarithm of its probability by the logits."""
    if not isinstance(run.task, DocumentTask):
        assert token is not None
        named, place = int(ids[0, token]), token
        if isinstance(run.task, LanguageModelling):
            # What stands before a token tells it.
            place = token - 1
            if place < 0:
                raise ReformerError("--attribute: the first token has nothing before it that could tell it")
        told = str(run.tokenizer.decode([named])) or str(run.tokenizer.convert_ids_to_tokens(named))
        return told, lambda logits: logits[:, place].log_softmax(-1)[:, named]
    with torch.no_grad():
        logits = run.model(input_ids=ids).logits
    row = logits[0] if token is None else logits[0, token]
    chosen = int(row.argmax())
    if run.model.config.problem_type == "multi_label_classification":
        return run.labels[chosen], lambda logits: nn.functional.logsigmoid(logits[:, chosen])
    if token is None:
        return run.labels[chosen], lambda logits: logits.log_softmax(-1)[:, chosen]
    return run.labels[chosen], lambda logits: logits[:, token].log_softmax(-1)[:, chosen]


def _reader(model: Any, ids: Int[Tensor, "1 length"], vectors: Tensor) -> Callable[[Tensor], Tensor]:
    """What gives the logits for embeddings."""

    def by_vectors(given: Tensor) -> Tensor:
        return _scores(model(inputs_embeds=given))

    def by_ids(given: Tensor) -> Tensor:
        with _embedded(model.get_input_embeddings(), given):
            return _scores(model(input_ids=ids.expand(len(given), -1)))

    try:
        with torch.no_grad():
            by_vectors(vectors)
    # A wide part and n-grams need token ids, and say so.
    except ValueError:
        return by_ids
    return by_vectors


def _scores(output: Any) -> Tensor:
    """The logits; of a random field, through whose probabilities no gradient goes, the scores of each token alone."""
    scores = getattr(output, "scores", None)
    return output.logits if scores is None else scores


@contextmanager
def _embedded(embeddings: nn.Module, vectors: Tensor) -> Iterator[None]:
    """While it lasts, token ids are embedded as these vectors."""
    with embeddings.register_forward_hook(lambda module, arguments, output: vectors):
        yield


def in_words(found: Attribution) -> str:
    """An attribution in a line: the answer, what is attributed, and what is not."""
    about = "" if found.place is None else f" for {found.text[slice(*found.place)]!r}"
    return (
        f"document {found.document}: {found.answer!r}{about}: log-probability {found.score:.3f}, {found.baseline:.3f} "
        f"of nothing but padding; {counted(len(found.pieces), 'place')} of the text have "
        f"{sum(piece.value for piece in found.pieces):+.3f} of the difference, {found.gap:+.3f} are not accounted for"
    )
