"""Inspection of a run's hashed layers on texts: what they saw, what they missed, and whether it matters."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from reformer.errors import ReformerError
from reformer.insight.inspect_buckets import Fullness, fullness, together
from reformer.insight.inspect_layers import HashedLayer, hashed_layers, observed
from reformer.insight.inspect_recall import Recall
from reformer.insight.inspect_scores import Score, measuring, scores
from reformer.insight.inspect_texts import InspectedText, inspected_texts
from reformer.insight.inspect_token import TokenView, token_view
from reformer.nn import Attention, Tokens
from reformer.nn.attention_call import AttentionCall, attention_call
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
    scores: bool = True
    """Whether to measure the run without its layers."""
    scored: int = 200
    """Documents that it is measured on, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadReport:
    """One hashed head over all documents; shares of weight are means over the sampled queries."""

    layer: int
    head: int
    kind: str
    windows: dict[str, int]
    """Of each ordering that does not hash, and of a hash round."""
    buckets: int
    fullness: list[Fullness]
    """Of each round."""
    fallen: list[float | None]
    """Of each round, see `Recall.fallen`."""
    held: dict[str, float]
    """By each ordering alone."""
    together: float
    cumulated: list[float]
    """With 0, 1, ... rounds, to one more than there are."""
    wider: dict[str, float]
    """With a window of twice the width."""
    best: float
    """By as many keys, were they the best."""
    keys_seen: float


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
    layers = hashed_layers(run.model, str(run.folder))
    run.model.eval()
    found = None
    measure = measuring(run, sources, read, options.scored)
    watch = _Watch(run, layers, options)
    for number, text in enumerate(inspected_texts(run, sources, read, options.documents, labelled=False), 1):
        watch.read(number, text)
        on_step(f"document {number}: {counted(text.length, 'token')}")
    if not watch.documents:
        raise ReformerError(f"{', '.join(sources)}: there is no document in it; give some")
    token = watch.token_report()
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
        notes=watch.notes(),
    )


class _Watch:
    """What is gathered while a model reads texts."""

    def __init__(self, run: Run[Any], layers: list[HashedLayer], options: InspectOptions) -> None:
        self._layers, self._options, self._folder = layers, options, run.folder
        self._recalls = {
            (layer, place): Recall(layer.attention.rounds, orderings(layer.attention))
            for layer in layers
            for place in range(len(layer.heads))
        }
        self._fullness: dict[tuple[HashedLayer, int], list[list[Fullness]]] = {each: [] for each in self._recalls}
        self._text: InspectedText | None = None
        self._asked: tuple[InspectedText, int] | None = None
        self._views: list[TokenView] = []
        self._shortened: set[int] = set()
        self.documents: list[dict[str, Any]] = []

    def read(self, number: int, text: InspectedText) -> None:
        """Let the model read a text."""
        self._text, self._number = text, number
        self.documents.append({"id": text.id, "tokens": text.length})
        if self._options.token is not None and self._options.token[0] == number:
            self._asked = text, token_at(text, self._options.token[1])
        with observed(self._layers, self._see):
            text.read()

    @torch.no_grad()
    def _see(self, layer: HashedLayer, hidden: Tensor, tokens: Tokens) -> None:
        whole = attention_call(layer.attention, hidden, tokens, layer.attention.rounds + 1)
        for row in range(len(hidden)):
            self._see_row(layer, whole.row(row))

    def _see_row(self, layer: HashedLayer, call: AttentionCall) -> None:
        attention, text = layer.attention, self._text
        assert text is not None
        own = call._replace(key_buckets=call.key_buckets[:, :, :-1])
        real = call.mask[0].nonzero()[:, 0]
        places = real[sample(len(real), self._options.queries, self._options.seed + self._number).to(real.device)]
        if len(real) != text.length:
            self._shortened.add(layer.layer)
        for place, head in enumerate(layer.heads):
            self._recalls[layer, place].add(call, place, places)
            self._fullness[layer, place].append(fullness(own, place, attention._most_buckets))
            if self._asked is not None and self._asked[0] is text and len(real) == text.length:
                names = [*orderings(attention), *(f"round {number + 1}" for number in range(attention.rounds))]
                asked = int(real[self._asked[1]])
                view = token_view(call, asked, names, layer=layer.layer, head=head, number=place)
                self._views.append(view)

    @property
    def queries(self) -> int:
        """How many tokens were sampled for a layer, at most."""
        return max(recall.queries for recall in self._recalls.values())

    def heads(self) -> list[HeadReport]:
        """Every head, by its layer and its number."""
        reports = [self._head(layer, place) for layer, place in self._recalls]
        return sorted(reports, key=lambda report: (report.layer, report.head))

    def _head(self, layer: HashedLayer, place: int) -> HeadReport:
        attention, recall = layer.attention, self._recalls[layer, place]
        if not recall.queries:
            raise ReformerError(f"{self._folder}: layer {layer.layer} has read nothing of these documents as a whole")
        windows = dict(zip(orderings(attention), attention._position_windows, strict=True))
        return HeadReport(
            layer=layer.layer,
            head=layer.heads[place],
            kind=layer.kind,
            windows=windows | {"round": attention.lsh_window},
            buckets=attention._most_buckets,
            fullness=together(self._fullness[layer, place]),
            fallen=recall.fallen,
            held=recall.held,
            together=recall.together,
            cumulated=recall.cumulated,
            wider=recall.wider,
            best=recall.best,
            keys_seen=recall.keys_seen,
        )

    def token_report(self) -> TokenReport | None:
        """What the token that was asked for saw."""
        if self._options.token is None:
            return None
        if self._asked is None:
            number, all_of_them = self._options.token[0], counted(len(self.documents), "document")
            raise ReformerError(
                f"--token: there is no document {number} among the {all_of_them} that were looked at; give a smaller "
                "number, or look at more: --documents"
            )
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


def orderings(attention: Attention) -> tuple[str, ...]:
    """The names of the orderings of a layer that do not hash."""
    return ("local",) * len(attention.local_windows) + ("global",) * (attention.global_tokens > 0)


def sample(count: int, most: int, seed: int) -> Int[Tensor, " chosen"]:
    """Some of `count` places, in order, drawn by a seed."""
    chosen = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:most]
    return chosen.sort().values


def token_at(text: InspectedText, character: int) -> int:
    """The number of the token that has a character.

    Raises:
        ReformerError: there is no such character, or it is in no token.
    """
    if text.text is None or text.offsets is None:
        raise ReformerError("--token: what this run reads is no text, and has no characters; leave it out")
    if character >= len(text.text):
        raise ReformerError(
            f"--token: the document has {counted(len(text.text), 'character')}, of which the last is number "
            f"{len(text.text) - 1:,}; there is none with number {character:,}"
        )
    for number, (start, end) in enumerate(text.offsets):
        if start <= character < end:
            return number
    raise ReformerError(f"--token: character {character:,} is in no token, such as a space; give one beside it")
