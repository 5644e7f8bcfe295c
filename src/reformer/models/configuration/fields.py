"""Fields of the configuration: their types, defaults and documentation, and the sizes that follow from them."""

from typing import TYPE_CHECKING, Any, Literal

from transformers import PreTrainedConfig

from reformer.models.configuration.head_groups import HeadGroup, LayerSpec, head_groups

ATTENTION_KINDS = ("full", "local", "lsh", "local+lsh")


class ReformerFields(PreTrainedConfig):
    """Fields of a `ReformerConfig`, which checks them.

    Where a field means the same as in transformers' own Reformer it has the same name.

    Args:
        vocab_size: how many token ids there are; 0 for a model that reads vectors alone, as of series and images.
        hidden_size: the width of each residual stream; heads read all of them.
        residual_streams: 2, or 1 for the plain Transformer, `x + f(x)`, which cannot be reversible.
        num_attention_heads, attention_head_size: how many heads, and their width.
        feed_forward_size: the inner width of the feed-forward sub-layer.
        hidden_act: "relu", "gelu", "gelu_tanh" (its approximation by a hyperbolic tangent) or "silu"; with
            `gated_feed_forward` it gates a second projection.
        num_key_value_heads: how many heads of keys and values there are, a divisor of `num_attention_heads`;
            neighbouring heads share each. None: as many as heads. In hashed layers it needs
            `shared_query_key=False`, and heads that share keys must be alike in kind and window. Cross attention has
            a head of keys for each.
        score_transform: "polynomial" or "sinh": the scores of each head pass through a learned function that starts as
            the identity (`docs/math.md`, equation 9); None for none.
        score_polynomial_order: the highest power of that polynomial.
        time_bias_length: bias the scores of self-attention by the positions of query and key, over a period of this
            many tokens (`docs/math.md`, equation 15); 0 for none.
        time_bias_steps: of that bias, the time step of each head; heads that share keys must have the same. None:
            1, 2, ... for the heads of keys.
        gated_heads: scale the output of each head of attention by a sigmoid of the layer's input.
        attention_act: "relu", "gelu" or "silu" of the joined heads, before they are projected; None for none.
        attention_bias: which projections of attention add a bias: "none", "query_key_value" or "all".
        query_key_norm: divide the queries and the keys of each head by their root mean square, and scale them by
            learned weights, one for each of the head's channels.
        global_tokens: places of tokens that every query of "local", "lsh" and "local+lsh" layers sees too, such as
            `[0, -1]`, the first and the last; counted from the end where negative, in models that read both sides.
        norm: "layer" for layer norms, "rms" for root mean square norms.
        norm_order: with `residual_streams=1`, to what a sub-layer adds: "pre", its input; "post", its normed input, so
            that its norm is the one before it of a post-norm Transformer; "first", of the first sub-layer alone
            the normed input.
        recompute: with `residual_streams=1`, run each sub-layer again in the backward pass instead of keeping what it
            computes; one vector a token and sub-layer is kept, or of long sequences one a group of sub-layers. "auto":
            where what they compute is more than a gigabyte, about; keeping less than that saves a forward pass.
        attention_layers: one of "full", "local", "lsh", "local+lsh" for each layer, or a list of them, one for each
            head of the layer: `["local", ["local", "local", "lsh", "lsh"], "full"]`; "none" in such a list is a head
            that the layer goes without. "fourier", for a whole layer, is a gated convolution with long filters in place
            of attention.
        num_distinct_layers: how many layers have weights of their own: layer `i` uses those of layer
            `i mod num_distinct_layers`, which must be of its kind. Biases, norms and hash rotations stay each
            layer's own. None for all.
        is_decoder: True for a causal model.
        is_encoder_decoder: True for a model that reads one sequence and writes another: `attention_layers` are then
            the encoder's.
        decoder_attention_layers: the kinds of the decoder's layers, all causal; the encoder's if not given.
        cross_attention_layers: "full" or "lsh" for each of the decoder's layers: how it looks at the encoder's output;
            "full" if not given. Hashed ones take `lsh_window`, `num_buckets` and `num_rounds`.
        decoder_start_token_id: what the decoder reads first; `bos_token_id` if not given, or else `pad_token_id`.
        label_smoothing: in training, how much of each target is spread over all labels, or over the whole vocabulary;
            for every head that tells classes apart.
        local_window: in local attention, how many tokens are seen: the token itself and `local_window - 1` before
            it (and as many after it, unless causal). A list has one for each head.
        lsh_window: the same within a bucket of a hash round.
        num_buckets: buckets a round, or their even factors, such as `[32, 16]`.
        num_rounds: how many hash rounds are seen in one softmax; any forward pass may be given another number.
        shared_query_key: in hashed layers, one projection for queries and keys (the paper's), a token seeing itself
            only when it sees nothing else. False: two.
        hashed_scores: in hashed layers with two projections, "cosine": both of unit length, with a learned temperature
            per head; "dot": products as in the other layers, and keys are hashed less their mean.
        convolution_kernel: the odd width of a depth-wise separable convolution before each attention; 0 for none.
        fourier_kernel: how many tokens a filter of a "fourier" layer reaches back, the token itself included, and
            ahead unless causal.
        feed_forward_linear: "circulant" makes the matrices of the feed-forward of circulant blocks, which have
            `circulant_block` times fewer weights; "dense" leaves them whole.
        circulant_block: the side of such a block; it divides `hidden_size` and `feed_forward_size`.
        projection_kernel: the odd width of a depth-wise convolution of queries, keys and values after their
            projections; 0 for none.
        bottleneck_size: the width of a bottleneck through which the output of every attention and feed-forward
            passes; 0 for none.
        bottleneck_act: its nonlinearity, "tanh" or "relu".
        embedding_size: the width of the embeddings, projected to `hidden_size`; equal to it if not given.
        ngram_sizes: add embeddings of the groups of so many tokens that end at each token, such as `[2, 3]`; empty for
            none. They take part in training as ordinary weights and need token ids as input.
        ngram_rows, ngram_width: rows of the table the groups are hashed into, and how wide they are.
        ngram_dropout: the probability with which a group is left out in training.
        ngram_min_frequency: how often the training text must have a group, or one that shares its row, for it to say
            anything; a training run counts before it begins.
        wide_sizes: give a classifier of tokens or of sequences a wide part: logits of the groups of so many tokens,
            such as `[1, 2, 3]`, which a training run fits before its first step by a classical method, and to which
            the rest adds; empty for none. A token classifier needs `classifier_crf` with it.
        wide_reads: what the groups of a sequence classifier's wide part are of: "tokens", or the "characters" that the
            tokens stand for, as the classical method reads them.
        wide_rows: rows of the table these groups are hashed into, each with a number for every label.
        wide_dropout: the probability with which a training sequence goes without the wide part.
        question_match_sizes: say to a model of questions which groups of so many tokens of the document stand in the
            question, such as `[1, 2, 4]`; empty for none. The question is what stands before the first `eos_token_id`.
        position_embedding_type: "axial", "rotary", "learned", "sinusoidal" or "none".
        axial_pos_shape, axial_pos_embds_dim: for axial positions, the table's sides, whose product bounds the
            length, and their widths, which add up to `hidden_size`.
        rope_theta: the base of rotary positions, or one for each kind of attention: `{"full": 160000, "local": 10000}`.
        rotary_scaling: scale rotary positions, so that a model reads longer texts than it first learned from:
            `{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192}`; or "linear" with a factor; or "yarn" with factor and
            `original_max_position_embeddings`, and if it differs `attention_factor`, `beta_fast`, `beta_slow`,
            `truncate`. None for none.
        partial_rotary_factor: the share of a head's channels that rotary positions turn, the first ones.
        max_position_embeddings: the greatest length; longer input is refused. For rotary, sinusoidal and no
            positions, and for axial ones up to the table's product, it may be changed when loading.
        token_dropout: the probability with which a token goes without its own embedding in training, so that what is
            around it has to tell.
        hidden_dropout_prob: dropout of the embeddings and of every sub-layer's output.
        layer_drop: the probability with which a training pass leaves out a layer, each on its own.
        classifier_dropout: dropout before a classification head; `hidden_dropout_prob` if not given.
        classifier_crf: put a linear-chain conditional random field over a token classifier's labels, which scores
            whole sequences of labels (`docs/math.md`, equation 45); it reads both sides.
        classifier_reads: what a token classifier labels: "tokens", or the "characters" of a text whose tokens are
            pieces, so that an entity may begin or end within a piece; it reads both sides.
        classifier_pooling: what a sequence classifier reads: "mean" or "max" over the real tokens, a mean whose
            weights are learned ("attention"), "first", or a fusion layer ("fusion"): a temporal convolution, whose
            steps are pooled as a whole and in ranges, the poolings mixed by gates.
        fusion_kernel, fusion_stride, fusion_ranges, fusion_size: of fusion layers: how many tokens a step looks at, how
            many lie between steps in the classifier's, how many steps are pooled together, and how wide a step is; as
            wide as all streams if not given.
        shortened_layers: `[first, end]`: the layers from `first` to the one before `end` run on a shortened sequence,
            a step of a fusion layer for every `shorten_stride` tokens. In an encoder-decoder, the encoder's. None for
            no shortening.
        decoder_shortened_layers: the same of an encoder-decoder's decoder.
        shorten_stride: how many tokens become one there.
        tie_word_embeddings: in language models, score tokens by their embeddings, and so store one matrix for both;
            a learned map brings what the streams hold to the embeddings' width.
        lm_transform: in language models, put a linear map, `hidden_act` and a norm before the scores, as BERT does; it
            takes the place of that learned map.
        reversible: recompute the layers' inputs in the backward pass instead of keeping them. The function, its
            weights and its gradients are the same either way. "auto": where what layers compute is more than a
            gigabyte, about; keeping less than that saves a forward pass.
        chunk_size_feed_forward: how many tokens go through the feed-forward at a time, so that its inner width is never
            held for a whole long sequence; 0 for all. The default costs no time and changes no result.
        special_tokens: classifiers, labellers, masked language models and readers of questions read a text, or a
            question and its document, with the tokenizer's special tokens around, as a pretrained encoder has learned.
        patch_size: of a series, how many steps make a token; of an image, how many pixels a side.
        num_channels: of an image, how many numbers a pixel has: 1 for grey, 3 for colours.
        image_size: the height and width of the images that were learned; None for another task.
        prediction_length: how many steps a forecaster predicts.
        num_time_features: how many numbers a forecaster is told of each step's date.
        num_dynamic_real_features: how many numbers a forecaster is told of each step of a channel, those to predict
            included, such as a price.
        num_static_real_features: how many numbers a forecaster is told of each channel as a whole.
        dynamic_cardinalities: of each column of categories that is known of each step, how many it has, with 0, which
            means none.
        static_cardinalities: the same of each column of categories that is known of a channel as a whole.
        quantiles: which quantiles a forecaster predicts, in order and with 0.5; empty for the mean alone.
        linear_context: from how many of the last steps a forecaster also draws a linear forecast, to which the rest
            is added; 0 for none.
    """

    if TYPE_CHECKING:
        # transformers takes it in place of the labels' names, and has it as a property that follows from those.
        num_labels: int = 2  # type: ignore

    vocab_size: int = 320
    hidden_size: int = 256
    residual_streams: int = 2
    num_attention_heads: int = 4
    attention_head_size: int = 64
    feed_forward_size: int = 1024
    hidden_act: Literal["relu", "gelu", "gelu_tanh", "silu"] = "gelu"
    gated_feed_forward: bool = False
    chunk_size_feed_forward: int = 4096
    num_key_value_heads: int | None = None
    score_transform: Literal["polynomial", "sinh"] | None = None
    score_polynomial_order: int = 3
    time_bias_length: int = 0
    time_bias_steps: list[float | int] | tuple[float | int, ...] | None = None
    gated_heads: bool = False
    attention_act: Literal["relu", "gelu", "silu"] | None = None
    attention_bias: Literal["none", "query_key_value", "all"] = "none"
    query_key_norm: bool = False
    global_tokens: list[int] | tuple[int, ...] = ()
    norm: Literal["layer", "rms"] = "layer"
    norm_order: Literal["pre", "post", "first"] = "pre"
    recompute: bool | Literal["auto"] = False
    attention_layers: list[LayerSpec] | tuple[LayerSpec, ...] = ("local", "lsh", "local", "lsh", "local", "lsh")
    num_distinct_layers: int | None = None
    is_decoder: bool = False
    decoder_attention_layers: list[LayerSpec] | tuple[LayerSpec, ...] | None = None
    cross_attention_layers: list[str] | tuple[str, ...] | None = None
    decoder_start_token_id: int | None = None
    label_smoothing: float | int = 0.0
    local_window: int | list[int] | tuple[int, ...] = 64
    lsh_window: int | list[int] | tuple[int, ...] = 64
    num_buckets: int | list[int] = 64
    num_rounds: int = 2
    shared_query_key: bool = True
    hashed_scores: Literal["cosine", "dot"] = "cosine"
    convolution_kernel: int = 0
    fourier_kernel: int = 256
    feed_forward_linear: Literal["dense", "circulant"] = "dense"
    circulant_block: int = 8
    projection_kernel: int = 0
    bottleneck_size: int = 0
    bottleneck_act: Literal["tanh", "relu"] = "tanh"
    embedding_size: int | None = None
    ngram_sizes: list[int] | tuple[int, ...] = ()
    ngram_rows: int = 131072
    ngram_width: int = 64
    ngram_dropout: float | int = 0.0
    ngram_min_frequency: int = 1
    wide_sizes: list[int] | tuple[int, ...] = ()
    wide_reads: Literal["tokens", "characters"] = "tokens"
    wide_rows: int = 262144
    wide_dropout: float | int = 0.5
    question_match_sizes: list[int] | tuple[int, ...] = ()
    position_embedding_type: Literal["axial", "rotary", "learned", "sinusoidal", "none"] = "rotary"
    axial_pos_shape: list[int] | tuple[int, ...] | None = None
    axial_pos_embds_dim: list[int] | tuple[int, ...] | None = None
    rope_theta: float | int | dict[str, float | int] = 10000.0
    rotary_scaling: dict[str, str | float | int | bool] | None = None
    partial_rotary_factor: float | int = 1.0
    max_position_embeddings: int = 1 << 20
    token_dropout: float | int = 0.0
    hidden_dropout_prob: float | int = 0.0
    layer_drop: float | int = 0.0
    classifier_dropout: float | int | None = None
    classifier_crf: bool = False
    classifier_reads: Literal["tokens", "characters"] = "tokens"
    classifier_pooling: Literal["mean", "max", "attention", "first", "fusion"] = "mean"
    fusion_kernel: int = 5
    fusion_stride: int = 1
    fusion_ranges: list[int] | tuple[int, ...] = (4, 16)
    fusion_size: int | None = None
    shortened_layers: list[int] | tuple[int, ...] | None = None
    decoder_shortened_layers: list[int] | tuple[int, ...] | None = None
    shorten_stride: int = 2
    layer_norm_eps: float = 1e-6
    initializer_range: float = 0.02
    reversible: bool | Literal["auto"] = True
    special_tokens: bool = False
    patch_size: int = 1
    num_channels: int = 1
    image_size: list[int] | tuple[int, ...] | None = None
    prediction_length: int = 1
    num_time_features: int = 0
    num_dynamic_real_features: int = 0
    num_static_real_features: int = 0
    dynamic_cardinalities: list[int] | tuple[int, ...] = ()
    static_cardinalities: list[int] | tuple[int, ...] = ()
    quantiles: list[float] | tuple[float, ...] = ()
    linear_context: int = 0
    tie_word_embeddings: bool = False
    lm_transform: bool = False
    use_cache: bool = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    @property
    def embedding_width(self) -> int:
        """The width of the embeddings, and of vectors given in their place."""
        return self.hidden_size if self.embedding_size is None else self.embedding_size

    @property
    def fusion_width(self) -> int:
        """The width of a fusion layer's steps."""
        return self.output_size if self.fusion_size is None else self.fusion_size

    @property
    def output_size(self) -> int:
        """The width of a stack's output: all residual streams side by side."""
        return self.residual_streams * self.hidden_size

    @property
    def is_hashed(self) -> bool:
        """Whether any layer has hash rounds."""
        return any("lsh" in kind for kind in self.attention_kinds)

    @property
    def attention_kinds(self) -> set[str]:
        """Every kind that some head of some layer has."""
        return {group.kind for layer in self.attention_layers for group in self.head_groups(layer)}

    def head_groups(self, layer: LayerSpec) -> list[HeadGroup]:
        """The heads of one of the `attention_layers`, those together that are alike."""
        return head_groups(layer, self.num_attention_heads, self.local_window, self.lsh_window)

    @property
    def theta_of_kinds(self) -> dict[str, float]:
        """The base of rotary positions of each kind of attention."""
        theta = self.rope_theta
        return dict(theta) if isinstance(theta, dict) else dict.fromkeys(ATTENTION_KINDS, theta)

    @property
    def rotary_width(self) -> int:
        """How many channels of a head rotary positions turn."""
        return int(self.attention_head_size * self.partial_rotary_factor)

    @property
    def heads_sharing_keys(self) -> int:
        """How many heads of queries there are for each of keys."""
        return self.num_attention_heads // (self.num_key_value_heads or self.num_attention_heads)

    @property
    def steps_of_heads(self) -> list[float]:
        """The time step of every head, given or not."""
        if self.time_bias_steps is not None:
            return [float(step) for step in self.time_bias_steps]
        return [float(1 + head // self.heads_sharing_keys) for head in range(self.num_attention_heads)]

    @classmethod
    def default(cls, name: str) -> Any:
        """The default of a field."""
        return getattr(cls, name)


FIELDS = tuple(ReformerFields.__annotations__)
"""Names of the fields that are documented here, without those that every configuration of transformers has."""
