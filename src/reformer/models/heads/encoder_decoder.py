"""Encoder-decoder: a bidirectional encoder of one sequence, and a causal decoder of another that attends to it."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput, Seq2SeqModelOutput

from reformer.models.arguments import check_unused
from reformer.models.backbone import ReformerModel
from reformer.models.base import ReformerPreTrainedModel
from reformer.models.cache import ReformerCache, check_cache
from reformer.models.configuration import ReformerConfig
from reformer.models.generation import ReformerGenerationMixin
from reformer.models.heads.base import IGNORE_INDEX, token_loss
from reformer.models.heads.language import LanguageModel, kept_tokens
from reformer.nn import Source


class ReformerEncoderDecoder(ReformerPreTrainedModel):
    """Encoder and causal decoder, whose layers attend to the encoder's output.

    Both share one table of embeddings, the encoder's. Both are reversible if the configuration says so, and the
    encoder's backward pass runs once, on the sum of the gradients of the decoder's layers.
    """

    __call__: Callable[..., Seq2SeqModelOutput]

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__(config)
        config.check()
        if not config.is_encoder_decoder:
            raise ValueError(
                "is_encoder_decoder=False: this model reads one sequence and writes another; set it to True"
            )
        self.encoder = ReformerModel(config.encoder_config())
        self.decoder = ReformerModel(config.decoder_config(), across=config.cross_attention_layers or ())
        # Whoever calls one stack alone, as `generate` does, gives it what is meant for both.
        self.encoder.rounds_are_of_another = self.decoder.is_hashed
        self.decoder.rounds_are_of_another = self.encoder.is_hashed
        self.post_init()

    def get_input_embeddings(self) -> nn.Module | None:
        return self.encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.encoder.set_input_embeddings(value)

    def forward(
        self,
        input_ids: Int[Tensor, "batch source"] | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Float[Tensor, "batch source hidden"] | None = None,
        decoder_input_ids: Int[Tensor, "batch target"] | None = None,
        decoder_attention_mask: Tensor | None = None,
        decoder_inputs_embeds: Float[Tensor, "batch target hidden"] | None = None,
        encoder_outputs: BaseModelOutput | tuple[Tensor, ...] | None = None,
        past_key_values: ReformerCache | None = None,
        use_cache: bool | None = None,
        num_rounds: int | None = None,
        output_hidden_states: bool | None = None,
        **kwargs: Any,
    ) -> Seq2SeqModelOutput:
        """The streams of the decoder, `[batch, target, output_size]`, and of the encoder.

        Args:
            input_ids, attention_mask, inputs_embeds: the source, as `ReformerModel` takes it.
            decoder_input_ids, decoder_attention_mask, decoder_inputs_embeds: the target so far, likewise.
            encoder_outputs: the encoder's output, in place of the source; `attention_mask` stays the source's.
            past_key_values: what the decoder remembers of the target and of the source; the source's keys and values
                are in it after the first call, and are made but once.
            use_cache: start to remember where there is nothing yet.
            num_rounds: how many hash rounds are seen in this pass, by encoder and decoder; see `ReformerModel`.
            output_hidden_states: give the streams of both stacks after each layer; see `ReformerModel`.

        Raises:
            TypeError: an argument that nobody knows.
            ValueError: no source or no target, or one that the stacks refuse.
        """
        check_unused(type(self).__name__, kwargs)
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        if encoder_outputs is None:
            encoder_outputs = self.read(input_ids, attention_mask, inputs_embeds, num_rounds, wanted)
        streams: Tensor = encoder_outputs[0]  # pyright: ignore[reportOptionalSubscript]
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            raise ValueError("no target: give decoder_input_ids or decoder_inputs_embeds, or labels to train on")
        if decoder_inputs_embeds is None:
            decoder_inputs_embeds = self.encoder.embed(decoder_input_ids)
        check_cache(past_key_values)
        if past_key_values is None and use_cache:
            past_key_values = self.decoder.new_cache()
        source = None
        # Shortened layers attend to the source only when their first step has ended, which may be some calls later.
        if past_key_values is None or not past_key_values.seen or self.config.decoder_shortened_layers:
            source = Source(streams, self.encoder.tokens(attention_mask, streams))
        found = self.decoder(
            decoder_input_ids,
            decoder_attention_mask,
            decoder_inputs_embeds,
            past_key_values=past_key_values,
            num_rounds=num_rounds,
            return_dict=True,
            source=source,
            output_hidden_states=wanted,
        )
        return Seq2SeqModelOutput(
            last_hidden_state=found.last_hidden_state,
            past_key_values=found.past_key_values,  # pyright: ignore[reportArgumentType]
            decoder_hidden_states=found.hidden_states,
            encoder_last_hidden_state=streams,
            encoder_hidden_states=getattr(encoder_outputs, "hidden_states", None),
        )

    def read(
        self,
        input_ids: Int[Tensor, "batch source"] | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Float[Tensor, "batch source hidden"] | None = None,
        num_rounds: int | None = None,
        output_hidden_states: bool | None = None,
    ) -> BaseModelOutput:
        """The encoder's output for a source, which `forward` takes as `encoder_outputs`."""
        return self.encoder(  # pyright: ignore[reportReturnType]
            input_ids,
            attention_mask,
            inputs_embeds,
            num_rounds=num_rounds,
            return_dict=True,
            output_hidden_states=output_hidden_states,
        )

    def new_cache(self) -> ReformerCache:
        """A cache that has read nothing, for the decoder."""
        return self.decoder.new_cache()


class ReformerForConditionalGeneration(LanguageModel, ReformerGenerationMixin):
    """Text-to-text model: translation, summaries, anything that is given as pairs."""

    backbone = ReformerEncoderDecoder
    embeddings = "reformer.encoder.embeddings.weight"

    __call__: Callable[..., Seq2SeqLMOutput]

    def prepare_decoder_input_ids_from_labels(self, labels: Int[Tensor, "batch target"]) -> Int[Tensor, "batch target"]:
        """The decoder's input ids for these labels: the start token, then the labels but the last.

        An ignored label (`IGNORE_INDEX`) is read as padding; at the end, where nothing follows it, it cannot be
        noticed.
        """
        start = labels.new_full((len(labels), 1), self.config.decoder_start_token_id or 0)
        read = torch.cat((start, labels[:, :-1]), 1)
        return read.masked_fill(read == IGNORE_INDEX, self.config.pad_token_id or 0)

    def forward(
        self,
        input_ids: Int[Tensor, "batch source"] | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Float[Tensor, "batch source hidden"] | None = None,
        decoder_input_ids: Int[Tensor, "batch target"] | None = None,
        decoder_attention_mask: Tensor | None = None,
        decoder_inputs_embeds: Float[Tensor, "batch target hidden"] | None = None,
        encoder_outputs: BaseModelOutput | tuple[Tensor, ...] | None = None,
        labels: Int[Tensor, "batch target"] | None = None,
        past_key_values: ReformerCache | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Int[Tensor, " kept"] = 0,
        num_items_in_batch: Tensor | int | None = None,
        num_rounds: int | None = None,
        return_logits: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Seq2SeqLMOutput:
        """Logits `[batch, target, vocab_size]`, if `logits_to_keep` is not 0 of the last so many tokens that are not
        padding, or of those with these indices; with `labels` (`IGNORE_INDEX` ignored) the loss of predicting each from
        the source and the labels before it. Where no decoder input is given it is made of the labels. In training with
        labels there are no logits unless `return_logits` asks for them: memory must not grow with length x vocabulary.
        `label_smoothing` of the configuration counts in training alone. For the rest see `ReformerEncoderDecoder`."""
        if labels is not None and decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
        found = self.reformer(
            input_ids,
            attention_mask,
            inputs_embeds,
            decoder_input_ids,
            decoder_attention_mask,
            decoder_inputs_embeds,
            encoder_outputs,
            past_key_values,
            use_cache,
            num_rounds,
            **kwargs,
        )
        hidden = self.scored(found.last_hidden_state)
        loss = None
        if labels is not None:
            loss = token_loss(hidden, self.lm_head, labels, num_items_in_batch, self._smoothing)
        logits = None
        if self._wants_logits(labels, return_logits):
            logits = self.lm_head(kept_tokens(hidden, logits_to_keep, decoder_attention_mask))
        output = Seq2SeqLMOutput(
            loss=loss,
            logits=logits,
            past_key_values=found.past_key_values,
            decoder_hidden_states=found.decoder_hidden_states,
            encoder_last_hidden_state=found.encoder_last_hidden_state,
            encoder_hidden_states=found.encoder_hidden_states,
        )
        return self._answer(output, return_dict)
