"""The heads: a linear map of both streams for each task, and its loss."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from transformers import GenerationMixin
from transformers.modeling_outputs import (
    CausalLMOutputWithPast,
    MaskedLMOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from transformers.utils.generic import ModelOutput

from reformer.models.backbone import ReformerModel, ReformerPreTrainedModel, real_tokens
from reformer.models.cache import ReformerCache
from reformer.models.configuration import ReformerConfig
from reformer.models.streaming import Stream
from reformer.nn import FusionPooling
from reformer.ops import chain_log_partition, chain_score, linear_cross_entropy


def token_loss(
    hidden: Float[Tensor, "batch length streams"],
    output: nn.Linear,
    labels: Int[Tensor, "batch length"],
    num_items_in_batch: Tensor | int | None,
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Mean cross entropy over the labels that are not -100, or their sum over a count given from outside, as
    gradient accumulation over unequal batches needs it. The logits are never held whole."""
    if labels.shape != hidden.shape[:2]:
        raise ValueError(f"labels have shape {tuple(labels.shape)}, expected {tuple(hidden.shape[:2])}")
    reduction = "mean" if num_items_in_batch is None else "sum"
    loss = linear_cross_entropy(
        hidden.flatten(0, 1),
        output.weight,
        labels.flatten(),
        output.bias,
        label_smoothing=label_smoothing,
        reduction=reduction,
    )
    return loss if num_items_in_batch is None else loss / num_items_in_batch


def field_loss(
    scores: Float[Tensor, "batch length labels"],
    transitions: Float[Tensor, "labels labels"],
    path: Int[Tensor, "batch length"],
    num_items_in_batch: Tensor | int | None,
) -> Float[Tensor, ""]:
    """How improbable a random field finds the labels, a label: tokens whose label is -100 are no links of its chain.
    As in `token_loss`, the sum may be taken over a count given from outside."""
    links = path != -100
    log_partition, _ = chain_log_partition(scores, transitions, links)
    surprise = (log_partition - chain_score(scores, transitions, path, links)).sum()
    return surprise / (links.sum().clamp_min(1) if num_items_in_batch is None else num_items_in_batch)


def field_logits(
    scores: Float[Tensor, "batch length labels"],
    transitions: Float[Tensor, "labels labels"],
    real: Bool[Tensor, "batch length"],
) -> Float[Tensor, "batch length labels"]:
    """The logarithm of each label's probability, with all that may stand around it; 0 at padding."""
    _, probabilities = chain_log_partition(scores, transitions, real)
    least = torch.finfo(probabilities.dtype).tiny
    return probabilities.clamp_min(least).log().masked_fill(~real[..., None], 0)


class Head(ReformerPreTrainedModel):
    """A backbone named `reformer` and the way from its inputs to an output or a tuple."""

    backbone: type[ReformerPreTrainedModel] = ReformerModel
    reads: tuple[str, ...] = ()
    """Its parts that make the vectors which the backbone reads, where that has no embeddings for them."""
    smooths: bool = True
    """Whether its targets are classes, so that `label_smoothing` means something."""

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__(config)
        if config.label_smoothing and not self.smooths:
            raise ValueError(
                f"label_smoothing={config.label_smoothing} has no effect on {type(self).__name__}, whose targets are "
                "no classes; leave it out"
            )
        self.reformer = self.backbone(config)

    def _encode(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        inputs_embeds: Tensor | None,
        num_rounds: int | None,
    ) -> Float[Tensor, "batch length streams"]:
        return self.reformer(input_ids, attention_mask, inputs_embeds, num_rounds=num_rounds, return_dict=False)[0]

    def _classifier_dropout(self) -> nn.Dropout:
        given = self.config.classifier_dropout
        return nn.Dropout(float(self.config.hidden_dropout_prob if given is None else given))

    @property
    def _smoothing(self) -> float:
        """How much of each target is spread over all classes in this pass."""
        return float(self.config.label_smoothing) if self.training else 0.0

    def _wants_logits(self, labels: Tensor | None, asked: bool | None) -> bool:
        return (labels is None or not self.training) if asked is None else asked

    def _answer(self, output: ModelOutput, return_dict: bool | None) -> ModelOutput | tuple[Any, ...]:
        wants_dict = self.config.return_dict if return_dict is None else return_dict
        return output if wants_dict else output.to_tuple()


class ReformerForTokenClassification(Head):
    """A label for every token: entities, parts of speech, word boundaries.

    With `classifier_random_field` the labels of a sequence are scored together, and the logits are the logarithms of
    each label's probability over all sequences of labels."""

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__(config)
        if config.classifier_random_field and config.is_decoder:
            raise ValueError(
                "classifier_random_field=True with is_decoder=True: a label's probability then depends on later "
                "tokens; leave out one of them"
            )
        if config.classifier_random_field and config.label_smoothing:
            raise ValueError(
                f"label_smoothing={config.label_smoothing} with classifier_random_field=True: whole sequences of "
                "labels are scored, and none is a class to take from; leave out one of them"
            )
        self.dropout = self._classifier_dropout()
        labels = config.num_labels or 2
        self.classifier = nn.Linear(config.output_size, labels)
        self.transitions = nn.Parameter(torch.zeros(labels, labels)) if config.classifier_random_field else None
        self.post_init()

    def forward(
        self,
        input_ids: Int[Tensor, "batch length"] | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Float[Tensor, "batch length hidden"] | None = None,
        labels: Int[Tensor, "batch length"] | None = None,
        num_items_in_batch: Tensor | int | None = None,
        num_rounds: int | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Logits `[batch, length, num_labels]`; with `labels` (-100 ignored) the loss too. See `ReformerModel`.

        A random field's logits are zero at padding. In training with labels it gives none, since its loss takes the
        labels' own chain and what has no label is no link of it."""
        hidden = self._encode(input_ids, attention_mask, inputs_embeds, num_rounds)
        loss, logits = None, None
        if self.transitions is None:
            hidden = self.dropout(hidden)
            loss = (
                None
                if labels is None
                else token_loss(hidden, self.classifier, labels, num_items_in_batch, self._smoothing)
            )
            logits = self.classifier(hidden)
        else:
            scores = self.classifier(self.dropout(hidden))
            if labels is not None:
                loss = field_loss(scores, self.transitions, labels, num_items_in_batch)
            if self._wants_logits(labels, None):
                real = real_tokens(attention_mask, hidden)
                logits = field_logits(scores, self.transitions, real)
        return self._answer(TokenClassifierOutput(loss=loss, logits=logits), return_dict)


class ReformerForSequenceClassification(Head):
    """One label, several labels or one number for a whole document, read from a pooling of its tokens."""

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__(config)
        self.dropout = self._classifier_dropout()
        self.weigh = nn.Linear(config.output_size, 1) if config.classifier_pooling == "attention" else None
        self.fusion, width = None, config.output_size
        if config.classifier_pooling == "fusion":
            kernel, stride, width = config.fusion_kernel, config.fusion_stride, config.fusion_width
            self.fusion = FusionPooling(config.output_size, width, kernel, stride, config.fusion_ranges)
        self.classifier = nn.Linear(width, config.num_labels or 2)
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
        **kwargs: Any,
    ) -> Any:
        """Logits `[batch, num_labels]`; with `labels` the loss too, chosen by `config.problem_type`, which if not
        given follows from the labels: whole numbers are one class each, fractions a multi-label target, and with
        one label a regression."""
        hidden = self._encode(input_ids, attention_mask, inputs_embeds, num_rounds)
        mask = real_tokens(attention_mask, hidden)
        if self.fusion is not None:
            pooled = self.fusion(hidden, mask)
        else:
            weights = None if self.weigh is None else self.weigh(hidden)[..., 0]
            pooled = _pool(hidden, mask, self.config.classifier_pooling, weights)
        logits = self.classifier(self.dropout(pooled))
        loss = None
        if labels is not None:
            losses = self._losses(logits.float(), labels)
            loss = losses.mean() if num_items_in_batch is None else losses.sum() / num_items_in_batch
        return self._answer(SequenceClassifierOutput(loss=loss, logits=logits), return_dict)

    def _losses(self, logits: Tensor, labels: Tensor) -> Float[Tensor, " batch"]:
        problem = self.config.problem_type
        if problem is None:
            one = "regression" if self.config.num_labels == 1 else "single_label_classification"
            problem = "multi_label_classification" if one != "regression" and labels.is_floating_point() else one
        if self.config.label_smoothing and problem != "single_label_classification":
            raise ValueError(
                f"label_smoothing={self.config.label_smoothing} with problem_type={problem!r}: there is no one "
                "class to take from; leave it out"
            )
        if problem == "regression":
            return mse_loss(logits, labels.view(logits.shape).float(), reduction="none").mean(-1)
        if problem == "multi_label_classification":
            return binary_cross_entropy_with_logits(logits, labels.float(), reduction="none").mean(-1)
        return cross_entropy(logits, labels.view(-1), reduction="none", label_smoothing=self._smoothing)


def _pool(
    hidden: Float[Tensor, "batch length streams"],
    mask: Bool[Tensor, "batch length"],
    kind: str,
    weights: Float[Tensor, "batch length"] | None,
) -> Float[Tensor, "batch streams"]:
    """One vector a sequence from its real tokens; zeros where it has none. With `weights`, their softmax weighs."""
    real = mask[..., None]
    if weights is not None:
        shares = weights.float().masked_fill(~mask, torch.finfo(torch.float32).min).softmax(-1).where(mask, 0)
        return (shares[:, None].to(hidden.dtype) @ hidden)[:, 0]
    if kind == "mean":
        return hidden.masked_fill(~real, 0).sum(1) / real.sum(1).clamp_min(1)
    any_real = real.any(1)
    if kind == "max":
        return hidden.masked_fill(~real, float("-inf")).amax(1).where(any_real, 0)
    first = mask.byte().argmax(-1)
    return hidden[torch.arange(len(hidden), device=hidden.device), first].where(any_real, 0)


class LanguageModel(Head):
    """Scores of the tokens of the vocabulary: by a matrix of their own, or by their embeddings."""

    embeddings = "reformer.embeddings.weight"
    """Where the embeddings are."""

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__(config)
        tied, width = config.tie_word_embeddings, config.output_size
        self.lm_projection = nn.Linear(width, config.embedding_width, bias=False) if tied else None
        self.lm_head = nn.Linear(config.embedding_width if tied else width, config.vocab_size)
        self._tied_weights_keys = {"lm_head.weight": self.embeddings} if tied else {}
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        self.lm_head = new_embeddings

    def scored(self, hidden: Float[Tensor, "batch length streams"]) -> Float[Tensor, "batch length width"]:
        """What `lm_head` reads."""
        return hidden if self.lm_projection is None else self.lm_projection(hidden)


class ReformerForMaskedLM(LanguageModel):
    """The token that was masked, from both its sides."""

    def __init__(self, config: ReformerConfig) -> None:
        if config.is_decoder:
            raise ValueError("is_decoder=True: a masked language model reads both sides; set it to False")
        super().__init__(config)

    def forward(
        self,
        input_ids: Int[Tensor, "batch length"] | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Float[Tensor, "batch length hidden"] | None = None,
        labels: Int[Tensor, "batch length"] | None = None,
        num_items_in_batch: Tensor | int | None = None,
        return_logits: bool | None = None,
        num_rounds: int | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Logits `[batch, length, vocab_size]`; with `labels` (-100 ignored) the loss too. In training with labels
        there are no logits unless `return_logits` asks for them: memory must not grow with length x vocabulary."""
        hidden = self.scored(self._encode(input_ids, attention_mask, inputs_embeds, num_rounds))
        loss = None if labels is None else token_loss(hidden, self.lm_head, labels, num_items_in_batch, self._smoothing)
        logits = self.lm_head(hidden) if self._wants_logits(labels, return_logits) else None
        return self._answer(MaskedLMOutput(loss=loss, logits=logits), return_dict)


class ReformerForCausalLM(LanguageModel, GenerationMixin):
    """The next token, from those before it."""

    def __init__(self, config: ReformerConfig) -> None:
        if not config.is_decoder:
            raise ValueError("is_decoder=False: a causal language model must not read ahead; set it to True")
        super().__init__(config)

    def stream(self) -> Stream:
        """Begin to read a sequence in pieces; see `Stream`."""
        return Stream(self)

    def forward(
        self,
        input_ids: Int[Tensor, "batch length"] | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Float[Tensor, "batch length hidden"] | None = None,
        labels: Int[Tensor, "batch length"] | None = None,
        past_key_values: ReformerCache | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        num_items_in_batch: Tensor | int | None = None,
        return_logits: bool | None = None,
        num_rounds: int | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Logits `[batch, length, vocab_size]`, of the last `logits_to_keep` tokens alone if that is not 0; with
        `labels` the loss of predicting `labels[:, 1:]` from what stands before each (-100 ignored). In training with
        labels there are no logits unless `return_logits` asks for them: memory must not grow with length x
        vocabulary. For the cache and `num_rounds` see `ReformerModel`."""
        found = self.reformer(
            input_ids,
            attention_mask,
            inputs_embeds,
            past_key_values=past_key_values,
            use_cache=use_cache,
            num_rounds=num_rounds,
            return_dict=True,
        )
        hidden = self.scored(found.last_hidden_state)
        loss = None
        if labels is not None:
            # What follows the last token is not known.
            following = nn.functional.pad(labels[:, 1:], (0, 1), value=-100)
            loss = token_loss(hidden, self.lm_head, following, num_items_in_batch, self._smoothing)
        logits = None
        if self._wants_logits(labels, return_logits):
            logits = self.lm_head(hidden[:, -logits_to_keep:])
        output = CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=found.past_key_values)
        return self._answer(output, return_dict)


class ReformerForQuestionAnswering(Head):
    """Where in the text the answer begins and ends."""

    smooths = False

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__(config)
        self.qa_outputs = nn.Linear(config.output_size, 2)
        self.post_init()

    def forward(
        self,
        input_ids: Int[Tensor, "batch length"] | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Float[Tensor, "batch length hidden"] | None = None,
        start_positions: Int[Tensor, " batch"] | None = None,
        end_positions: Int[Tensor, " batch"] | None = None,
        num_rounds: int | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Start and end logits `[batch, length]`, -inf at padding; with both positions the mean of their losses.
        A position outside the text is ignored."""
        hidden = self._encode(input_ids, attention_mask, inputs_embeds, num_rounds)
        logits = self.qa_outputs(hidden).masked_fill(~real_tokens(attention_mask, hidden)[..., None], float("-inf"))
        start, end = logits.unbind(-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = (_position_loss(start, start_positions) + _position_loss(end, end_positions)) / 2
        output = QuestionAnsweringModelOutput(loss=loss, start_logits=start, end_logits=end)  # pyright: ignore
        return self._answer(output, return_dict)


def _position_loss(logits: Float[Tensor, "batch length"], positions: Int[Tensor, " batch"]) -> Tensor:
    inside = (positions >= 0) & (positions < logits.shape[1])
    targets = positions.where(inside, -100)
    return cross_entropy(logits.float(), targets, ignore_index=-100, reduction="sum") / inside.sum().clamp_min(1)
