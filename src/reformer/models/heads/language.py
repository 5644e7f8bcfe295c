"""Language-modelling heads: masked and causal."""

from collections.abc import Callable
from typing import Any, ClassVar, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.modeling_outputs import CausalLMOutputWithPast, MaskedLMOutput

from reformer.models.backbone import ReformerModel
from reformer.models.cache import ReformerCache
from reformer.models.configuration import ReformerConfig
from reformer.models.generation import ReformerGenerationMixin
from reformer.models.heads.base import IGNORE_INDEX, Head, token_loss
from reformer.models.streaming import Stream
from reformer.nn.channels import Channels, StreamChannels
from reformer.nn.feed_forward import ACTIVATIONS
from reformer.nn.norms import NORMS


class VocabularyTransform(nn.Module):
    """`norm(activation(x W + b))`, before tokens are scored (Devlin et al. 2019).

    Args:
        config: `hidden_act`, `norm` and `layer_norm_eps`.
        size: the width of the result.
    """

    def __init__(self, config: ReformerConfig, size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(config.output_size, size)
        self.activation = ACTIVATIONS[config.hidden_act]
        self.norm = NORMS[config.norm](size, eps=config.layer_norm_eps)

    def forward(self, hidden: Float[Tensor, "batch length streams"]) -> Float[Tensor, "batch length width"]:
        return self.norm(self.activation(self.dense(hidden)))


class LanguageModel(Head):
    """Base class of language models: logits over the vocabulary, by a matrix of their own or by the embeddings."""

    embeddings = "reformer.embeddings.weight"
    """Name of the embeddings' weight."""

    stream_channels: ClassVar[StreamChannels] = {"lm_projection.weight": {1: Channels.SUMMED}}
    embedding_channels: ClassVar[StreamChannels] = {
        "lm_projection.weight": {0: Channels.MATCHED, 1: Channels.SUMMED},
    }

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__(config)
        tied, width = config.tie_word_embeddings, config.output_size
        scored = config.embedding_width if tied else width
        self.lm_projection = nn.Linear(width, scored, bias=False) if tied and not config.lm_transform else None
        self.lm_transform = VocabularyTransform(config, scored) if config.lm_transform else None
        self.lm_head = nn.Linear(scored, config.vocab_size)
        self._tied_weights_keys = {"lm_head.weight": self.embeddings} if tied else {}
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        self.lm_head = new_embeddings

    def scored(self, hidden: Float[Tensor, "batch length streams"]) -> Float[Tensor, "batch length width"]:
        """The input of `lm_head`."""
        if self.lm_transform is not None:
            return self.lm_transform(hidden)
        return hidden if self.lm_projection is None else self.lm_projection(hidden)


class ReformerForMaskedLM(LanguageModel):
    """Masked language model."""

    __call__: Callable[..., MaskedLMOutput]

    def __init__(self, config: ReformerConfig) -> None:
        if config.is_decoder:
            raise ValueError("is_decoder=True: a masked language model reads both sides; set it to False")
        super().__init__(config)

    def why_whole(self) -> None:
        """None: every token is scored alone."""

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
    ) -> MaskedLMOutput:
        """Logits `[batch, length, vocab_size]`; with `labels` (`IGNORE_INDEX` ignored) the loss too. In training with
        labels there are no logits unless `return_logits` asks for them: memory must not grow with length x
        vocabulary. For `kwargs` see `ReformerModel`."""
        hidden, states = self._encode(input_ids, attention_mask, inputs_embeds, num_rounds, kwargs, packs=True)
        hidden = self.scored(hidden)
        loss = None
        if labels is not None:
            part, _ = self._part(attention_mask, hidden)
            loss = token_loss(hidden, self.lm_head, labels, num_items_in_batch, self._smoothing, part)
        logits = self.lm_head(hidden) if self._wants_logits(labels, return_logits) else None
        output = MaskedLMOutput(loss=loss, logits=logits, hidden_states=states)
        return self._answer(output, return_dict)


class ReformerForCausalLM(LanguageModel, ReformerGenerationMixin):
    """Causal language model."""

    __call__: Callable[..., CausalLMOutputWithPast]

    def __init__(self, config: ReformerConfig) -> None:
        if not config.is_decoder:
            raise ValueError("is_decoder=False: a causal language model must not read ahead; set it to True")
        super().__init__(config)

    def why_whole(self) -> None:
        """None: the label of a part's last token is asked for, that of the next part's first."""

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
        logits_to_keep: int | Int[Tensor, " kept"] = 0,
        num_items_in_batch: Tensor | int | None = None,
        return_logits: bool | None = None,
        num_rounds: int | None = None,
        return_dict: bool | None = None,
        shift_labels: Int[Tensor, "batch length"] | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits `[batch, length, vocab_size]`, if `logits_to_keep` is not 0 of the last so many tokens that are not
        padding, or of those with these indices; with `labels` the loss of predicting `labels[:, 1:]` from what stands
        before each (`IGNORE_INDEX` ignored), or with `shift_labels` of predicting these, of which each stands at the
        token before it. Of the first token of a document that is not the first of its row there is no loss. In training
        with labels there are no logits unless `return_logits` asks for them: memory must not grow with length x
        vocabulary. For the cache, `num_rounds` and `kwargs` see `ReformerModel`."""
        backbone = cast(ReformerModel, self.reformer)
        if backbone.sequence_group is not None and not (isinstance(logits_to_keep, int) and logits_to_keep == 0):
            raise ValueError(
                "logits_to_keep of a model whose rows are divided between processes, each of which has the logits of "
                "its own tokens; leave it out"
            )
        packed = backbone.packed_rows(kwargs, attention_mask, input_ids, inputs_embeds, past_key_values)
        found = self.reformer(
            input_ids,
            attention_mask,
            inputs_embeds,
            past_key_values=past_key_values,
            use_cache=use_cache,
            num_rounds=num_rounds,
            return_dict=True,
            **kwargs,
        )
        hidden = self.scored(found.last_hidden_state)
        loss, part = None, None
        if labels is not None or shift_labels is not None:
            part, _ = self._part(attention_mask, hidden)
        if labels is not None and shift_labels is None:
            if packed is not None and packed.several:
                labels = packed.without_firsts(labels, IGNORE_INDEX)
            # Nothing follows the last token of a row, so it has no label.
            if part is None:
                shift_labels = nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORE_INDEX)
            else:
                shift_labels = part.around(labels, 0, 1, IGNORE_INDEX)[:, 1:]
        if shift_labels is not None:
            loss = token_loss(hidden, self.lm_head, shift_labels, num_items_in_batch, self._smoothing, part)
        logits = None
        if self._wants_logits(shift_labels, return_logits):
            logits = self.lm_head(kept_tokens(hidden, logits_to_keep, attention_mask))
        output = CausalLMOutputWithPast(
            loss=loss, logits=logits, past_key_values=found.past_key_values, hidden_states=found.hidden_states
        )
        return self._answer(output, return_dict)


def kept_tokens(
    hidden: Float[Tensor, "batch length width"],
    logits_to_keep: int | Int[Tensor, " kept"],
    attention_mask: Tensor | None,
) -> Float[Tensor, "batch kept width"]:
    """The vectors of the last `logits_to_keep` tokens that are not padding, of all if that is 0, or of those with these
    indices."""
    if isinstance(logits_to_keep, Tensor):
        return hidden[:, logits_to_keep]
    if not logits_to_keep or attention_mask is None:
        return hidden[:, -logits_to_keep:]
    # That of a cache may cover the tokens before.
    real = attention_mask[:, -hidden.shape[1] :].bool()
    if bool(real[:, -logits_to_keep:].all()):
        return hidden[:, -logits_to_keep:]
    places = real.to(torch.int8).argsort(dim=-1, stable=True)[:, -logits_to_keep:]
    return hidden.gather(1, places[..., None].expand(-1, -1, hidden.shape[-1]))
