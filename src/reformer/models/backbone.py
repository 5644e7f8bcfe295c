"""Backbone of all heads: embeddings, layers, and the norm over their residual streams."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPast

from reformer.models.arguments import check_unused
from reformer.models.base import ReformerPreTrainedModel
from reformer.models.build import build_layer, build_ngrams, build_positions, build_stack
from reformer.models.cache import ReformerCache, check_cache
from reformer.models.configuration import ReformerConfig
from reformer.models.packing import BORDERS, PackedRows, packed_rows
from reformer.models.streaming import Stream
from reformer.models.weight_sharing import shared_weights
from reformer.nn import (
    Attention,
    Between,
    Source,
    Tokens,
)
from reformer.nn.channels import Channels, StreamChannels
from reformer.nn.joined_norm import joined_norm
from reformer.nn.norms import NORMS
from reformer.nn.positions import rotary_waves
from reformer.nn.sequence_part import NeedsWholeRows, SequenceGroup, SequencePart, why_whole
from reformer.nn.time_bias import time_waves
from reformer.ops import gpu
from reformer.ops.draws import dropout, token_generator


class ReformerModel(ReformerPreTrainedModel, NeedsWholeRows):
    """The bare Reformer: token ids or vectors in, all residual streams out, `[batch, length, output_size]`.

    Args:
        config: of one stack, so not of an encoder-decoder as a whole.
        across: the kind of cross attention of each layer. With it this is the decoder of an encoder-decoder, which has
            no table of embeddings of its own and looks at a `source`.
    """

    is_backbone = True
    stream_channels: ClassVar[StreamChannels] = {
        "embedding_projection.weight": {0: Channels.EACH},
        "norm.weight": {0: Channels.EACH},
        "norm.bias": {0: Channels.EACH},
    }
    embedding_channels: ClassVar[StreamChannels] = {"embeddings.weight": {1: Channels.EACH}}
    """As `stream_channels`, of weights as wide as the embeddings, which count where those are as wide as the stream."""

    __call__: Callable[..., BaseModelOutputWithPast]
    sequence_group: SequenceGroup | None
    """The processes that hold parts of the same rows, see `reformer.parallel`; None where rows are whole."""
    rounds_are_of_another: bool
    """Whether a number of rounds is meant for another stack of the same model, where this one hashes nothing."""

    def __init__(self, config: ReformerConfig, across: Sequence[str] = ()) -> None:
        super().__init__(config)
        config.check()
        if config.is_encoder_decoder:
            raise ValueError(
                f"is_encoder_decoder=True: {type(self).__name__} is one stack; an encoder-decoder is loaded as "
                "ReformerForConditionalGeneration"
            )
        width = config.embedding_width
        # Without a vocabulary a table would be a weight without a gradient, which distributed training refuses.
        owns = config.vocab_size > 0 and not across
        self.embeddings = nn.Embedding(config.vocab_size, width) if owns else None
        projected = width != config.hidden_size
        self.embedding_projection = nn.Linear(width, config.hidden_size, bias=False) if projected else None
        self.ngrams = build_ngrams(config)
        self.positions = build_positions(config)
        kinds = zip(config.attention_layers, across or [None] * len(config.attention_layers), strict=True)
        layers = [build_layer(config, kind, other, is_first=not number) for number, (kind, other) in enumerate(kinds)]
        self.encoder = build_stack(config, layers)
        self.norm = NORMS[config.norm](config.output_size, eps=config.layer_norm_eps)
        self.hidden_dropout = float(config.hidden_dropout_prob)
        # Of a module, compilers take it as a constant; of a configuration, as a number that may change.
        self.rotary_width = config.rotary_width if config.position_embedding_type == "rotary" else 0
        self.rounds_are_of_another = False
        self.sequence_group = None
        self._tied_weights_keys = shared_weights(self, layers, config.num_distinct_layers or len(layers))
        self.post_init()

    def why_whole(self) -> str | None:
        return why_whole([self.encoder])

    def get_input_embeddings(self) -> nn.Module | None:
        return self.embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.embeddings = value

    def forward(
        self,
        input_ids: Int[Tensor, "batch length"] | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Float[Tensor, "batch length width"] | None = None,
        past_key_values: ReformerCache | None = None,
        use_cache: bool | None = None,
        num_rounds: int | None = None,
        return_dict: bool | None = None,
        source: Source | None = None,
        position_ids: Int[Tensor, "batch length"] | None = None,
        output_hidden_states: bool | None = None,
        added: Float[Tensor, "batch length hidden"] | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Run the stack.

        Args:
            input_ids: token ids.
            attention_mask: 1 or True for a real token, `[batch, length]`; all real if not given. Padding may stand
                anywhere and changes nothing.
            inputs_embeds: vectors as wide as embeddings in place of `input_ids`, for continuous input.
            past_key_values: what a causal model remembers of the tokens before these; the output then has it too.
                No gradient is kept. A mask may cover all tokens so far or these alone.
            use_cache: start to remember where there is nothing yet.
            num_rounds: how many hash rounds are seen in this pass, in training as in evaluation; those of the
                configuration if not given. Evaluation takes the first of the rounds in the checkpoint, and further ones
                that follow from them (`reformer.ops.rotations_of_rounds`). A cache keeps the number it was begun with.
            return_dict: False for a plain tuple.
            source: what cross attention looks at. What is in the cache of it need not be given again.
            position_ids: positions that count from 0 for each document of a row. Documents of one row do not see each
                other: they are read as rows of their own. Other positions than these cannot be.
            output_hidden_states: give the streams before the first layer and after each, `[batch, length,
                output_size]`, the last of them behind the norm. Layers are then not run again in the backward pass.
            added: vectors that a head adds to the embeddings, as position embeddings are.
            kwargs: `cu_seq_lens_q`, `cu_seq_lens_k` or `seq_idx`, which may tell where the documents of a row begin,
                with `max_length_q` and `max_length_k`, than which none may be longer.

        Raises:
            TypeError: an argument that nobody knows, or a cache of transformers.
            ValueError: neither or both kinds of input, an id outside the vocabulary, a mask of another shape,
                more tokens than `max_position_embeddings`, rounds where nothing is hashed, or another number of
                rounds than the cache's.
        """
        check_unused(
            type(self).__name__,
            {name: value for name, value in kwargs.items() if name not in BORDERS},
            causal=bool(self.config.is_decoder),
        )
        told = kwargs | {"position_ids": position_ids}
        if self.sequence_group is not None:
            self._check_divided(told, use_cache=bool(use_cache) or past_key_values is not None, source=source)
        packed = None
        if self.sequence_group is None:
            packed = self.packed_rows(told, attention_mask, input_ids, inputs_embeds, past_key_values)
        if packed is not None and (use_cache or past_key_values is not None):
            if packed.several:
                raise ValueError("several documents in a row, and a cache, which has one; give each a row of its own")
            packed = None
        if packed is not None:
            attention_mask = packed.mask
            input_ids, inputs_embeds, added = (
                None if each is None else packed.apart(each) for each in (input_ids, inputs_embeds, added)
            )
        if torch._C._get_tracing_state() is not None:
            raise ValueError(
                "torch.jit.trace keeps what this one input decides, such as that nothing is padding; for a graph that "
                "serves every input use reformer.export.export_model, torch.export or torch.compile"
            )
        again = 0
        if past_key_values is not None:
            found = past_key_values.read_again(input_ids, inputs_embeds, attention_mask)
            input_ids, inputs_embeds, attention_mask, again = found
        cache = self._cache(past_key_values, use_cache)
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        between = self._between() if wanted else None
        part = self.part(attention_mask, input_ids if inputs_embeds is None else inputs_embeds)
        with nullcontext() if part is None else part[0].drawing():
            hidden = self._read(
                input_ids, attention_mask, inputs_embeds, cache, num_rounds, source, between, added, part
            )
        states = None if between is None else between.states(hidden)
        if packed is not None or again:
            # As the tokens of this call stand.
            placed = partial(_without_first, count=again) if packed is None else packed.together
            hidden = placed(hidden)
            states = None if states is None else tuple(map(placed, states))
        wants_dict = self.config.return_dict if return_dict is None else return_dict
        if not wants_dict:
            # That it is one is for whoever asks for it to know.
            return cast(BaseModelOutputWithPast, (hidden,) if states is None else (hidden, states))
        return BaseModelOutputWithPast(
            last_hidden_state=hidden,
            past_key_values=cache,  # pyright: ignore
            hidden_states=states,
        )

    def _read(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        inputs_embeds: Tensor | None,
        cache: ReformerCache | None,
        num_rounds: int | None,
        source: Source | None,
        between: Between | None,
        added: Tensor | None,
        part: tuple[SequencePart, Tensor] | None,
    ) -> Float[Tensor, "batch length streams"]:
        """The streams behind the last norm."""
        hidden = self.embed(input_ids, inputs_embeds)
        if self.training and self.config.token_dropout:
            hidden = _without_some_tokens(hidden, float(self.config.token_dropout), self.config.initializer_range)
        if self.embedding_projection is not None:
            hidden = self.embedding_projection(hidden)
        tokens = self.tokens(attention_mask, hidden, cache, self._rounds(num_rounds, cache), source, part)
        memories = None if cache is None else cache.memories
        if self.ngrams is not None:
            if input_ids is None:
                raise ValueError("inputs_embeds with ngram_sizes: groups of tokens need their ids; give input_ids")
            hidden = hidden + self.ngrams(input_ids, tokens, memories and memories[-1]).to(hidden.dtype)
        if added is not None:
            if added.shape != hidden.shape:
                raise ValueError(f"added has shape {tuple(added.shape)}, expected {tuple(hidden.shape)}")
            hidden = hidden + added.to(hidden.dtype)
        if self.positions is not None:
            hidden = hidden + self.positions(tokens.positions).to(hidden.dtype)
        hidden = dropout(hidden, self.hidden_dropout, self.training)
        streams = [hidden] * self.config.residual_streams
        if between is not None:
            streams = between.begin(*streams)
        return joined_norm(self.norm, self.encoder(*streams, tokens, memories and memories[:-1], between))

    def packed_rows(
        self,
        arguments: Mapping[str, Any],
        attention_mask: Tensor | None,
        input_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        cache: ReformerCache | None = None,
    ) -> PackedRows | None:
        """The documents of the input's rows, by those arguments of a call that tell them; None where each row is one.

        Raises:
            TypeError: a cache of transformers.
            ValueError: see `reformer.models.packing.packed_rows`.
        """
        check_cache(cache)
        position_ids = arguments.get("position_ids")
        borders = {name: arguments.get(name) for name in BORDERS}
        given = input_ids if inputs_embeds is None else inputs_embeds
        told = position_ids is not None or any(each is not None for each in borders.values())
        # A cache reads on behind padding, wherever that stands.
        if given is None or not (told or (attention_mask is not None and cache is None)):
            return None
        if not told and (attention_mask is None or attention_mask.shape != given.shape[:2] or gpu.is_capturing()):
            return None
        real = torch.ones(given.shape[:2], dtype=torch.bool, device=given.device)
        if attention_mask is not None:
            real = attention_mask[:, -given.shape[1] :].bool()
        if cache is not None and position_ids is not None:
            position_ids = position_ids - torch.as_tensor(cache.counted()).view(-1, 1)
        return packed_rows(position_ids, borders, real)

    def _between(self) -> Between:
        if self.config.shortened_layers:
            raise ValueError("output_hidden_states with shortened_layers: not every token has them; leave one out")
        return Between(len(self.encoder.sublayers) // len(self.config.attention_layers))

    @property
    def is_hashed(self) -> bool:
        """Whether any layer has hash rounds, cross attention included."""
        return any(isinstance(module, Attention) and module.hashed for module in self.encoder.modules())

    def keep_frequent_ngrams(self, texts: Iterable[tuple[Tensor, Tensor]], further: bool = False) -> None:
        """Mask the n-grams that are rarer than `ngram_min_frequency` in the training texts.

        A training run does this once, before its first step; the checkpoint keeps what was found.

        Args:
            texts: token ids and their mask, `[batch, length]` both, every text once.
            further: the model has learned from other texts before; what these have often enough counts as well.
        """
        if self.ngrams is not None:
            self.ngrams.keep_frequent(((ids, Tokens.of(mask.bool())) for ids, mask in texts), further)

    def stream(self) -> Stream:
        """Begin to read a sequence in pieces; see `Stream`."""
        return Stream(self)

    def new_cache(self) -> ReformerCache:
        """A cache that has read nothing: the memories of the stack, and one for the embeddings."""
        return ReformerCache(self.encoder.memory_count + 1)

    def _cache(self, cache: ReformerCache | None, use_cache: bool | None) -> ReformerCache | None:
        if cache is None and use_cache:
            cache = self.new_cache()
        if cache is not None and not self.config.is_decoder:
            raise ValueError(
                "is_decoder=False: a model that reads both sides cannot go on from a cache, since what comes later "
                "changes what came before; give it the whole sequence"
            )
        return cache

    def _rounds(self, asked: int | None, cache: ReformerCache | None) -> int | None:
        if asked is not None and (not isinstance(asked, int) or asked < 1):
            raise ValueError(f"num_rounds={asked!r}: expected a whole number of at least 1")
        if asked is not None and not self.is_hashed:
            if self.rounds_are_of_another:
                return None
            raise ValueError(
                f"num_rounds={asked} for attention_layers={self.config.attention_layers}: none of them hashes, so it "
                "would change nothing; leave it out"
            )
        return asked if cache is None else cache.agree_on_rounds(asked, self.config.num_rounds)

    def embed(
        self, input_ids: Int[Tensor, "batch length"] | None, inputs_embeds: Tensor | None = None
    ) -> Float[Tensor, "batch length width"]:
        """Embeddings of the ids, or the vectors given in their place, with both inputs checked."""
        if self.embeddings is not None and (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds, and not both")
        if inputs_embeds is not None:
            if inputs_embeds.dim() != 3 or inputs_embeds.shape[-1] != self.config.embedding_width:
                raise ValueError(
                    f"inputs_embeds has shape {tuple(inputs_embeds.shape)}, expected [batch, length, "
                    f"{'hidden_size' if self.embedding_projection is None else 'embedding_size'}="
                    f"{self.config.embedding_width}]"
                )
            return inputs_embeds
        if input_ids is None or self.embeddings is None:
            raise ValueError(
                "no inputs_embeds, and no embeddings of its own (vocab_size=0, or a decoder) to make them of input_ids"
            )
        if input_ids.dim() != 2:
            raise ValueError(f"input_ids has shape {tuple(input_ids.shape)}, expected [batch, length]")
        if input_ids.device.type == "cpu" and input_ids.numel() and not gpu.is_capturing():
            smallest, largest = (int(bound) for bound in input_ids.aminmax())
            # The table may have been resized since this stack's configuration was copied from the whole model's.
            known = self.embeddings.weight.shape[0]
            if smallest < 0 or largest >= known:
                wrong = smallest if smallest < 0 else largest
                raise ValueError(
                    f"input_ids holds {wrong}, outside the vocabulary of {known}; "
                    "was the text encoded with this model's own tokenizer?"
                )
        return self.embeddings(input_ids)

    def tokens(
        self,
        attention_mask: Tensor | None,
        hidden: Float[Tensor, "batch length width"],
        cache: ReformerCache | None = None,
        rounds: int | None = None,
        source: Source | None = None,
        part: tuple[SequencePart, Tensor] | None = None,
    ) -> Tokens:
        """`Tokens` of one forward pass, for every layer: which tokens with these vectors are real, and where they
        stand. Of a part of the rows, with the mask of whole rows."""
        batch, length = hidden.shape[:2]
        if cache is not None and attention_mask is not None and attention_mask.shape[1] == cache.seen + length:
            attention_mask = attention_mask[:, cache.seen :]
        if attention_mask is not None and attention_mask.shape != (batch, length):
            raise ValueError(f"attention_mask has shape {tuple(attention_mask.shape)}, expected {(batch, length)}")
        if attention_mask is None:
            mask, padded = torch.ones(batch, length, dtype=torch.bool, device=hidden.device), False
        else:
            mask = attention_mask.bool()
            padded = gpu.is_capturing() or not bool(mask.all())
        if part is not None:
            return self._divided(mask, *part, rounds)
        longest = length if not padded or gpu.is_capturing() else int(mask.sum(-1).max())
        earlier = None
        if cache is not None:
            earlier = cache.earlier(mask)
            longest += int(earlier.max())
        self._check_length(longest)
        tokens = Tokens.of(mask, padded, earlier)
        return self._positioned(replace(tokens, rounds=rounds, source=source, positioned=self._positioned))

    def _divided(
        self,
        mask: Bool[Tensor, "batch length"],
        part: SequencePart,
        rows: Bool[Tensor, "batch all"],
        rounds: int | None,
    ) -> Tokens:
        """Tokens of this process's part of the rows."""
        self._check_length(int(rows.sum(-1).max()) if rows.numel() else 0)
        whole = replace(Tokens.of(rows, not bool(rows.all())), rounds=rounds)
        if self.config.global_tokens:
            whole = whole.with_global(self.config.global_tokens, self.config.is_decoder)
        earlier = rows[:, : sum(part.lengths[: part.process])].sum(-1)
        tokens = replace(Tokens.of(mask, not bool(mask.all()), earlier), rounds=rounds, part=part, rows=whole)
        return self._positioned(tokens)

    def part(
        self, attention_mask: Tensor | None, given: Tensor | None
    ) -> tuple[SequencePart, Bool[Tensor, "batch all"]] | None:
        """This process's part of the rows, and which tokens of whole rows are real; None where rows are whole.

        Raises:
            ValueError: see `reformer.nn.sequence_part.SequenceGroup`.
        """
        if self.sequence_group is None or given is None:
            return None
        mask = real_tokens(attention_mask, given)
        if mask.shape != given.shape[:2]:
            raise ValueError(f"attention_mask has shape {tuple(mask.shape)}, expected {tuple(given.shape[:2])}")
        return self.sequence_group.begin(mask, training=self.training)

    def _check_divided(self, told: Mapping[str, Any], *, use_cache: bool, source: Source | None) -> None:
        given = [name for name in ("position_ids", *BORDERS) if told.get(name) is not None]
        if use_cache:
            given.append("use_cache or past_key_values")
        if source is not None:
            given.append("a source")
        if given:
            raise ValueError(
                f"{', '.join(given)} of a model whose rows are divided between processes: a row is one document, read "
                "at once; leave it out, or undo it with whole_rows(model)"
            )

    def _check_length(self, longest: int) -> None:
        if longest > self.config.max_position_embeddings:
            raise ValueError(
                f"a sequence of {longest} tokens, longer than max_position_embeddings="
                f"{self.config.max_position_embeddings}; split it, or load the model with a greater "
                "max_position_embeddings where its positions allow it"
            )

    def _positioned(self, tokens: Tokens) -> Tokens:
        """The same tokens with the waves of rotary positions and of the time bias, and those that all see."""
        rotary = time = None
        if self.config.position_embedding_type == "rotary":
            thetas, width, scaling = self.config.theta_of_kinds, self.rotary_width, self.config.rotary_scaling
            waves = {
                theta: rotary_waves(tokens.positions, width, theta, scaling) for theta in dict.fromkeys(thetas.values())
            }
            rotary = {kind: waves[theta] for kind, theta in thetas.items()}
        # Of a part of the rows, layers look them up among all tokens.
        if self.config.global_tokens and tokens.part is None:
            tokens = tokens.with_global(self.config.global_tokens, self.config.is_decoder)
        if self.config.time_bias_length:
            time = time_waves(tokens.positions, self.config.steps_of_heads, self.config.time_bias_length)
        return replace(tokens, rotary=rotary, time=time)


def _without_first(hidden: Tensor, count: int) -> Tensor:
    return hidden[:, count:]


def real_tokens(attention_mask: Tensor | None, hidden: Tensor) -> Bool[Tensor, "batch length"]:
    """The attention mask as bools, all True where none was given."""
    if attention_mask is None:
        return torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device)
    return attention_mask.bool()


def _without_some_tokens(
    hidden: Float[Tensor, "batch length hidden"], probability: float, size: float
) -> Float[Tensor, "batch length hidden"]:
    """The vectors scaled, and some, each with this probability, replaced by one fixed vector of elements of this size.

    Not by zeros: where no later layer adds anything, as to a first token that sees none before it, each norm multiplies
    the gradient of a zero vector by a million.
    """
    kept = (
        torch.empty(hidden.shape[:2], device=hidden.device).uniform_(generator=token_generator(hidden.device))
        >= probability
    )
    fixed = torch.full_like(hidden[0, 0], size)
    fixed[1::2] = -size
    return torch.where(kept[..., None], hidden / (1 - probability), fixed)
