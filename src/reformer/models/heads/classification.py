"""Heads for token and sequence classification."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from transformers.modeling_outputs import SequenceClassifierOutput, TokenClassifierOutput

from reformer.models.backbone import ReformerModel, real_tokens
from reformer.models.configuration import ReformerConfig
from reformer.models.heads.base import IGNORE_INDEX, Head, token_loss
from reformer.models.heads.pooling import pool
from reformer.nn import CharacterReader, FusionPooling, SequenceNgramLogits, TokenNgramLogits
from reformer.nn.channels import Channels, StreamChannels
from reformer.nn.steady_rows import steady_rows
from reformer.ops import (
    chain_log_partition,
    chain_probabilities,
    chain_score,
    chain_segment_log_probability,
    standard,
)


def crf_loss(
    scores: Float[Tensor, "batch length labels"],
    transitions: Float[Tensor, "labels labels"],
    path: Int[Tensor, "batch length"],
    num_items_in_batch: Tensor | int | None,
) -> Float[Tensor, ""]:
    """Negative log-likelihood of the labels under a linear-chain CRF, a label: tokens with the label `IGNORE_INDEX` are
    no links of the chain. As in `token_loss`, the sum may be taken over a count given from outside."""
    links = path != IGNORE_INDEX
    log_partition, _ = chain_log_partition(scores, transitions, links)
    surprisal = (log_partition - chain_score(scores, transitions, path, links)).sum()
    return surprisal / (links.sum().clamp_min(1) if num_items_in_batch is None else num_items_in_batch)


def crf_logits(
    scores: Float[Tensor, "batch length labels"],
    transitions: Float[Tensor, "labels labels"],
    real: Bool[Tensor, "batch length"],
    longest: int,
) -> Float[Tensor, "batch length labels"]:
    """Marginal log-probabilities of each token's labels under a linear-chain CRF; 0 at padding. In a graph no sequence
    is longer than `longest`."""
    if standard.is_wanted():
        # Characters within tokens may be more than the model reads tokens; a graph has no number of them.
        bound = longest if torch.compiler.is_compiling() else scores.shape[1]
        probabilities = chain_probabilities(scores, transitions, real, bound)
    else:
        _, probabilities = chain_log_partition(scores, transitions, real)
    least = torch.finfo(probabilities.dtype).tiny
    return probabilities.clamp_min(least).log().masked_fill(~real[..., None], 0)


@dataclass
class RandomFieldOutput(TokenClassifierOutput):
    """Output of a token classifier with a CRF."""

    scores: Tensor | None = None
    """Scores of each token's labels, `[batch, length, labels]`, which with the transitions make those of a path."""


class ReformerForTokenClassification(Head):
    """Token classifier: entities, parts of speech, word boundaries.

    With `classifier_crf` the labels of a sequence are scored together, and the logits are the logarithms of
    each label's probability over all sequences of labels. With `classifier_reads="characters"` labels and logits are of
    characters, and `character_*` say how they lie in the tokens."""

    has_wide_part = True
    stream_channels: ClassVar[StreamChannels] = {"classifier.weight": {1: Channels.SUMMED}}

    __call__: Callable[..., TokenClassifierOutput]

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__(config)
        if config.classifier_crf and config.is_decoder:
            raise ValueError(
                "classifier_crf=True with is_decoder=True: a label's probability then depends on later "
                "tokens; leave out one of them"
            )
        if config.classifier_reads == "characters" and config.is_decoder:
            raise ValueError(
                "classifier_reads='characters' with is_decoder=True: a label then depends on later characters; leave "
                "out one of them"
            )
        if config.classifier_crf and config.label_smoothing:
            raise ValueError(
                f"label_smoothing={config.label_smoothing} with classifier_crf=True: whole sequences of "
                "labels are scored, and none is a class to take from; leave out one of them"
            )
        if config.wide_reads == "characters":
            raise ValueError(
                "wide_reads='characters' in a token classifier: its wide part is of what is labelled; leave it out"
            )
        if config.wide_sizes and not config.classifier_crf:
            raise ValueError(
                f"wide_sizes={list(config.wide_sizes)} with classifier_crf=False: a token classifier's wide part is "
                "that of a conditional random field; set classifier_crf to True"
            )
        self.dropout = self._classifier_dropout()
        labels, reads_characters = config.num_labels or 2, config.classifier_reads == "characters"
        self.wide = None
        if config.wide_sizes:
            self.wide = TokenNgramLogits(config.wide_sizes, config.wide_rows, labels, float(config.wide_dropout))
        sizes = (config.output_size, config.embedding_width, config.layer_norm_eps)
        self.characters = CharacterReader(*sizes) if reads_characters else None
        self.classifier = nn.Linear(config.output_size, labels)
        self.transitions = nn.Parameter(torch.zeros(labels, labels)) if config.classifier_crf else None
        self.post_init()

    def forward(
        self,
        input_ids: Int[Tensor, "batch length"] | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Float[Tensor, "batch length hidden"] | None = None,
        labels: Int[Tensor, "batch labelled"] | None = None,
        num_items_in_batch: Tensor | int | None = None,
        num_rounds: int | None = None,
        return_dict: bool | None = None,
        character_pieces: Int[Tensor, "batch characters"] | None = None,
        character_ids: Int[Tensor, "batch characters"] | None = None,
        character_places: Int[Tensor, "batch characters"] | None = None,
        **kwargs: Any,
    ) -> TokenClassifierOutput:
        """Logits `[batch, length, num_labels]`; with `labels` (`IGNORE_INDEX` ignored) the loss too. See
        `ReformerModel`.

        The logits of a CRF are zero at padding. In training with labels there are none: its loss is over the chain of
        labelled tokens, the logits over the chain of all.

        Where characters are read, `character_pieces` has the index of each one's token, -1 for padding, `character_ids`
        the token of that character alone, and `character_places` its place in the token.

        Raises:
            ValueError: characters are read, and these are missing; or they are given, and tokens are read."""
        alone = not self.config.classifier_crf and self.characters is None
        hidden, states = self._encode(input_ids, attention_mask, inputs_embeds, num_rounds, kwargs, packs=alone)
        given = (character_pieces, character_ids, character_places)
        if sum(each is None for each in given) != (3 if self.characters is None else 0):
            raise ValueError(
                f"classifier_reads={self.config.classifier_reads!r}: give character_pieces, character_ids and "
                "character_places where characters are read, and only there"
            )
        if self.characters is not None:
            assert character_pieces is not None
            assert character_places is not None
            own = cast(ReformerModel, self.reformer).embed(character_ids)
            hidden = self.characters(hidden, character_pieces, own, character_places)
        loss, logits, scores = None, None, None
        if self.transitions is None:
            hidden = self._dropped(hidden)
            if labels is not None:
                part, _ = self._part(attention_mask, hidden)
                loss = token_loss(hidden, self.classifier, labels, num_items_in_batch, self._smoothing, part)
            logits = self.classifier(hidden)
        else:
            scores = self.classifier(self._dropped(hidden))
            real = real_tokens(attention_mask, hidden) if character_pieces is None else character_pieces >= 0
            # N-grams are of what is labelled.
            labelled = input_ids if character_ids is None else character_ids
            part, rows = self._part(attention_mask, hidden)
            if part is not None and rows is not None:
                # A chain is of the labels of a whole row, which are few numbers a token.
                scores, real = part.gather(scores), rows
                labels = None if labels is None else part.gather(labels)
                labelled = part.gather(labelled) if self.wide is not None and labelled is not None else None
            if self.wide is not None:
                scores = scores + self._wide_logits(self.wide, labelled, real)
            if labels is not None:
                loss = crf_loss(scores, self.transitions, labels, num_items_in_batch)
            if self._wants_logits(labels, None):
                logits = crf_logits(scores, self.transitions, real, self.config.max_position_embeddings)
            if part is not None:
                loss = None if loss is None else part.total(part.once(loss))
                scores, logits = part.own(scores), None if logits is None else part.own(logits)
        if self.transitions is None:
            return self._answer(TokenClassifierOutput(loss=loss, logits=logits, hidden_states=states), return_dict)
        kept = None if logits is None else scores
        output = RandomFieldOutput(loss=loss, logits=logits, scores=kept, hidden_states=states)
        return self._answer(output, return_dict)

    def _dropped(self, hidden: Float[Tensor, "batch length streams"]) -> Float[Tensor, "batch length streams"]:
        group = cast(ReformerModel, self.reformer).sequence_group
        with nullcontext() if group is None else group.drawing():
            return self.dropout(hidden)

    def why_whole(self) -> str | None:
        if self.characters is not None:
            return "classifier_reads='characters': the characters of a part's tokens are not known"
        return None

    @torch.no_grad()
    def segment_log_probability(
        self,
        output: TokenClassifierOutput,
        real: Bool[Tensor, "batch length"],
        allowed_pairs: Bool[Tensor, "labels labels"],
        allowed_first: Bool[Tensor, " labels"],
        **segments: Tensor,
    ) -> Float[Tensor, " segments"]:
        """The logarithm of the probability that the labels of each segment are among those it allows, in float64, as
        `chain_segment_log_probability` takes them.

        With a CRF it is that of the field. Without one, labels are independent but for the sequences that are allowed.

        Args:
            output: of a forward pass without labels, or in evaluation.
            real: True for the tokens or characters that have a label.
            allowed_pairs: `[i, j]` is whether label `j` may follow label `i`, where there is no CRF.
            allowed_first: the labels that a sequence may begin with there.
        """
        if self.transitions is not None:
            assert isinstance(output, RandomFieldOutput)
            assert output.scores is not None
            return chain_segment_log_probability(output.scores.double(), self.transitions, real, **segments)
        assert output.logits is not None
        scores = output.logits.to(torch.float64, copy=True)
        scores[:, 0] = scores[:, 0].masked_fill(~allowed_first, float("-inf"))
        rules = torch.zeros_like(allowed_pairs, dtype=scores.dtype).masked_fill_(~allowed_pairs, float("-inf"))
        return chain_segment_log_probability(scores, rules, real, **segments)


class ReformerForSequenceClassification(Head):
    """Sequence classifier: one label, several labels or one number for a document, from a pooling of its tokens."""

    labels_of_tokens = False
    has_wide_part = True
    stream_channels: ClassVar[StreamChannels] = {
        "classifier.weight": {1: Channels.SUMMED},
        "weigh.weight": {1: Channels.SUMMED},
    }

    class_weights: Tensor | None
    """`[2, labels]`, set for training alone: what the loss of a sequence counts that has a label (`[1, label]`), and
    with several labels that of one without it (`[0, label]`). None: all count alike."""

    __call__: Callable[..., SequenceClassifierOutput]

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__(config)
        self.dropout = self._classifier_dropout()
        self.weigh = nn.Linear(config.output_size, 1) if config.classifier_pooling == "attention" else None
        self.fusion, width = None, config.output_size
        if config.classifier_pooling == "fusion":
            kernel, stride, width = config.fusion_kernel, config.fusion_stride, config.fusion_width
            self.fusion = FusionPooling(config.output_size, width, kernel, stride, config.fusion_ranges)
        labels = config.num_labels or 2
        self.classifier = nn.Linear(width, labels)
        self.wide = None
        if config.wide_sizes:
            spelled = config.vocab_size if config.wide_reads == "characters" else 0
            self.wide = SequenceNgramLogits(
                config.wide_sizes, config.wide_rows, labels, float(config.wide_dropout), spelled
            )
        self.register_buffer("class_weights", None, persistent=False)
        self.post_init()

    def forward(
        self,
        input_ids: Int[Tensor, "batch length"] | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Float[Tensor, "batch length hidden"] | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        num_rounds: int | None = None,
        return_dict: bool | None = None,
        wide_logits: Float[Tensor, "batch labels"] | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Logits `[batch, num_labels]`; with `labels` the loss too, chosen by `config.problem_type`, which if not
        given follows from the labels: whole numbers are one class each, fractions a multi-label target, and with
        one label a regression.

        Args:
            wide_logits: what the wide part says of the sequences, in place of what it would say of `input_ids`: of
                sequences that it was fitted to, by a fit without them.
        """
        hidden, states = self._encode(input_ids, attention_mask, inputs_embeds, num_rounds, kwargs)
        mask, part, rows = real_tokens(attention_mask, hidden), None, None
        if self.fusion is not None:
            pooled = self.fusion(hidden, mask)
        else:
            weights = None if self.weigh is None else self.weigh(hidden)[..., 0]
            part, rows = self._part(attention_mask, hidden)
            pooled = pool(hidden, mask, self.config.classifier_pooling, weights, part, rows)
        logits = steady_rows(self.classifier, self.dropout(pooled))
        if self.wide is not None:
            if part is not None and rows is not None:
                input_ids, mask = None if input_ids is None else part.gather(input_ids), rows
            logits = logits + self._wide_logits(self.wide, input_ids, mask, wide_logits)
        elif wide_logits is not None:
            raise ValueError("wide_logits of a model without a wide part; leave them out, or set wide_sizes")
        loss = None
        if labels is not None:
            # Counted as Trainer does: several labels of one sequence are several items.
            losses = self._losses(logits.float(), labels)
            loss = losses.mean() if num_items_in_batch is None else losses.sum() / num_items_in_batch
            loss = loss if part is None else part.total(part.once(loss))
        output = SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=states)
        return self._answer(output, return_dict)

    def why_whole(self) -> str | None:
        if self.fusion is not None:
            return "classifier_pooling='fusion': its steps would be of tokens of two parts"
        return None

    def _losses(self, logits: Tensor, labels: Tensor) -> Float[Tensor, "batch *labels"]:
        problem, weights = self.config.problem_type, self.class_weights if self.training else None
        if problem is None:
            one = "regression" if self.config.num_labels == 1 else "single_label_classification"
            problem = "multi_label_classification" if one != "regression" and labels.is_floating_point() else one
        if self.config.label_smoothing and problem != "single_label_classification":
            raise ValueError(
                f"label_smoothing={self.config.label_smoothing} with problem_type={problem!r}: there is no one "
                "class to take from; leave it out"
            )
        if problem == "regression":
            return mse_loss(logits, labels.view(logits.shape).float(), reduction="none")
        if problem == "multi_label_classification":
            losses = binary_cross_entropy_with_logits(logits, labels.float(), reduction="none")
            return losses if weights is None else losses * torch.where(labels > 0, weights[1], weights[0])
        losses = cross_entropy(logits, labels.view(-1), reduction="none", label_smoothing=self._smoothing)
        return losses if weights is None else losses * weights[1][labels.view(-1)]
