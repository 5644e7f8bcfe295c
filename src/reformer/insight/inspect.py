"""Inspection of a run's hashed layers on texts: what they saw, what they missed, and whether it matters."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from reformer.errors import ReformerError
from reformer.insight.attribution import Attribution, attribution, check_attributable, in_words
from reformer.insight.inspect_heads import HeadReport, HeadWatch, orderings
from reformer.insight.inspect_layers import HashedLayer, hashed_layers
from reformer.insight.inspect_scores import Score, measuring, scores
from reformer.insight.inspect_texts import InspectedText, inspected_texts
from reformer.insight.inspect_token import TokenView, token_view
from reformer.nn.attention_call import AttentionCall
from reformer.tasks.base import Run
from reformer.tasks.predict_options import PredictOptions
from reformer.wording import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectOptions:
    """How much is looked at."""

    documents: int = 8
    """Documents whose attention is looked at, at most."""
    queries: int = 64
    """Tokens of each of them whose weights are computed for all keys, at most."""
    seed: int = 0
    """By which these tokens are drawn."""
    token: tuple[int, int] | None = None
    """A document, from 1, and a character in it, from 0: tell what its token saw."""
    attribute: tuple[int, int | None] | None = None
    """A document, from 1, and a character in it, from 0, or None: attribute the answer about it to its characters."""
    scores: bool = True
    """Whether to measure the run without its layers."""
    scored: int = 200
    """Documents that it is measured on, at most."""


@dataclass(frozen=True, slots=True)
class TokenReport:
    """What the layers showed to one token."""

    document: int
    token: int
    """Its number in the text, from 0."""
    text: str
    offsets: list[tuple[int, int]]
    """The characters of each token."""
    views: list[TokenView]


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectReport:
    """What is told of a run."""

    run: str
    sources: list[str]
    task: str
    best_metric: str
    """The metric by which the run was chosen."""
    greater_is_better: bool
    documents: list[dict[str, Any]]
    """The id of each, and how many tokens it has."""
    queries: int
    """Tokens that were sampled, in all documents together."""
    heads: list[HeadReport]
    scores: list[Score] | None
    token: TokenReport | None
    attribution: Attribution | None
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """The report as an object for JSON."""
        return asdict(self)


def inspect_run(
    run: Run[Any],
    sources: Sequence[str],
    read: PredictOptions,
    options: InspectOptions,
    on_step: Callable[[str], object] = lambda line: None,
) -> InspectReport:
    """Look at a run's hashed layers.

    Args:
        sources: files, or a data set.
        read: how they are read.
        on_step: called with a line about what was done.

    Raises:
        ReformerError: the run has no hashed layer, there is no such document or character, or no label to measure by.
        DataError: a record that cannot be read.
    """
    if options.attribute is not None:
        check_attributable(run, options.attribute[1])
    layers = hashed_layers(run.model, str(run.folder))
    run.model.eval()
    found = None
    measure = measuring(run, sources, read, options.scored)
    watch, attributed = _Watch(run, layers, options), None
    for number, text in enumerate(inspected_texts(run, sources, read, options.documents, labelled=False), 1):
        watch.read(number, text)
        on_step(f"document {number}: {counted(text.length, 'token')}")
        if options.attribute is not None and options.attribute[0] == number:
            attributed = _attributed(run, text, *options.attribute)
            on_step(in_words(attributed))
    if not watch.documents:
        raise ReformerError(f"{', '.join(sources)}: there is no document in it; give some")
    token = watch.token_report()
    if options.attribute is not None and attributed is None:
        raise _no_document("--attribute", options.attribute[0], len(watch.documents))
    if options.scores:
        found = scores(run, layers, measure, lambda score: on_step(score.change))
    return InspectReport(
        run=str(run.folder),
        sources=list(sources),
        task=run.recipe.training.task,
        best_metric=run.task.best_metric,
        greater_is_better=run.task.greater_is_better,
        documents=watch.documents,
        queries=watch.queries,
        heads=watch.heads(),
        scores=found,
        token=token,
        attribution=attributed,
        notes=watch.notes(),
    )


class _Watch(HeadWatch):
    """What is gathered while a model reads texts."""

    def __init__(self, run: Run[Any], layers: list[HashedLayer], options: InspectOptions) -> None:
        super().__init__(layers, options.queries, str(run.folder))
        self._options = options
        self._text: InspectedText | None = None
        self._asked: tuple[InspectedText, int] | None = None
        self._views: list[TokenView] = []
        self._shortened: set[int] = set()
        self.documents: list[dict[str, Any]] = []

    def read(self, number: int, text: InspectedText) -> None:
        """Let the model read a text."""
        self._text = text
        self.documents.append({"id": text.id, "tokens": text.length})
        if self._options.token is not None and self._options.token[0] == number:
            self._asked = text, token_at(text, self._options.token[1], "--token")
        with self.watching(self._options.seed + number):
            text.read()

    def see_row(self, layer: HashedLayer, call: AttentionCall) -> None:
        super().see_row(layer, call)
        attention, text, real = layer.attention, self._text, call.mask[0].nonzero()[:, 0]
        assert text is not None
        if len(real) != text.length:
            self._shortened.add(layer.layer)
        elif self._asked is not None and self._asked[0] is text:
            names = [*orderings(attention), *(f"round {number + 1}" for number in range(attention.rounds))]
            for place, head in enumerate(layer.heads):
                asked = int(real[self._asked[1]])
                self._views.append(token_view(call, asked, names, layer=layer.layer, head=head, number=place))

    def token_report(self) -> TokenReport | None:
        """What the token that was asked for saw."""
        if self._options.token is None:
            return None
        if self._asked is None:
            raise _no_document("--token", self._options.token[0], len(self.documents))
        text, token = self._asked
        assert text.text is not None
        assert text.offsets is not None
        views = sorted(self._views, key=lambda view: (view.layer, view.head))
        return TokenReport(self._options.token[0], token, text.text, [(a, b) for a, b in text.offsets], views)

    def notes(self) -> list[str]:
        """What should be known of the numbers."""
        if not self._shortened:
            return []
        named = ", ".join(map(str, sorted(self._shortened)))
        count = "layer" if len(self._shortened) == 1 else "layers"
        told = "other steps than the tokens of a record, such as those of a shortened sequence or patches"
        return [f"{count} {named} read {told}; the figures are of these steps, and --token is not told of them"]


def _attributed(run: Run[Any], text: InspectedText, number: int, character: int | None) -> Attribution:
    token = None if character is None else token_at(text, character, "--attribute")
    return attribution(run, text, number, token)


def _no_document(option: str, number: int, looked_at: int) -> ReformerError:
    return ReformerError(
        f"{option}: there is no document {number} among the {counted(looked_at, 'document')} that were looked at; give "
        "a smaller number, or look at more: --documents"
    )


def token_at(text: InspectedText, character: int, option: str) -> int:
    """The number of the token that has a character.

    Args:
        option: that asks for it, for messages.

    Raises:
        ReformerError: there is no such character, or it is in no token.
    """
    if text.text is None or text.offsets is None:
        raise ReformerError(f"{option}: what this run reads is no text, and has no characters; leave it out")
    if character >= len(text.text):
        raise ReformerError(
            f"{option}: the document has {counted(len(text.text), 'character')}, of which the last is number "
            f"{len(text.text) - 1:,}; there is none with number {character:,}"
        )
    for number, (start, end) in enumerate(text.offsets):
        if start <= character < end:
            return number
    raise ReformerError(f"{option}: character {character:,} is in no token, such as a space; give one beside it")
