"""Adapter of the attention kinds: "full", "local", "lsh" and "local+lsh", and layers whose heads are of several."""

from collections.abc import Callable
from typing import Any

from reformer.models.configuration.fields import ReformerFields
from reformer.models.configuration.head_groups import HeadGroup, LayerSpec
from reformer.models.layer_kinds.kind import LayerKind
from reformer.nn import Attention, AttentionOptions, CrossAttention, MixedAttention
from reformer.ops.orderings import bucket_factors
from reformer.ops.window_attention import MOST_COEFFICIENTS

CROSS_ATTENTION_KINDS = ("full", "lsh")


class AttentionKind(LayerKind):
    """Adapter of attention. Windows, buckets and rounds are checked whatever the layers are, and have no owner: they
    stay where they are while kinds of attention are compared."""

    has_heads = True

    def check(self, fields: ReformerFields) -> None:
        if fields.num_rounds < 1:
            raise ValueError(f"num_rounds={fields.num_rounds}: expected at least 1")
        for name in ("local_window", "lsh_window"):
            window = getattr(fields, name)
            if min([window] if isinstance(window, int) else window, default=0) < 1:
                raise ValueError(f"{name}={window}: expected at least 1")
        bucket_factors(fields.num_buckets)
        order = fields.score_polynomial_order
        if not 1 <= order <= MOST_COEFFICIENTS:
            raise ValueError(f"score_polynomial_order={order}: expected 1 to {MOST_COEFFICIENTS}")
        if fields.hashed_scores == "dot" and fields.shared_query_key:
            raise ValueError(
                "hashed_scores='dot' with shared_query_key=True: a key that is its query has no length of its own; set "
                "shared_query_key=False"
            )
        _check_time_bias(fields)
        _check_global_tokens(fields)

    def check_layer(self, fields: ReformerFields, layer: LayerSpec) -> None:
        _check_shared_keys(fields, layer)

    def build(self, fields: ReformerFields, layer: LayerSpec) -> Attention | MixedAttention:
        def attention(group: HeadGroup) -> Attention:
            return Attention(
                group.kind,
                fields.hidden_size,
                len(group.heads),
                fields.attention_head_size,
                _options(
                    fields,
                    group,
                    shared=fields.shared_query_key,
                    projection_kernel=fields.projection_kernel,
                    time_heads=group.heads if fields.time_bias_length else None,
                ),
                causal=fields.is_decoder,
                key_value_heads=len(group.heads) // fields.heads_sharing_keys,
            )

        return _of_groups(fields, layer, attention)


def build_cross_attention(fields: ReformerFields, layer: LayerSpec) -> Attention | MixedAttention:
    """Cross attention of a decoder's layer, as one of the `cross_attention_layers` names it."""

    def cross_attention(group: HeadGroup) -> CrossAttention:
        return CrossAttention(
            group.kind,
            fields.hidden_size,
            fields.output_size,
            len(group.heads),
            fields.attention_head_size,
            _options(fields, group),
        )

    return _of_groups(fields, layer, cross_attention)


def _options(fields: ReformerFields, group: HeadGroup, **own: Any) -> AttentionOptions:
    return AttentionOptions(
        local_window=group.local_window,
        lsh_window=group.lsh_window,
        buckets=fields.num_buckets,
        rounds=fields.num_rounds,
        score_transform=fields.score_transform,
        score_order=fields.score_polynomial_order,
        hashed_scores=fields.hashed_scores,
        global_tokens=len(fields.global_tokens),
        bias=fields.attention_bias,
        query_key_norm=fields.query_key_norm,
        norm_eps=fields.layer_norm_eps,
        gated=fields.gated_heads,
        activation=fields.attention_act,
        **own,
    )


def _of_groups(
    fields: ReformerFields, layer: LayerSpec, build: Callable[[HeadGroup], Attention]
) -> Attention | MixedAttention:
    """One attention for all heads of a layer, or one for each group of heads that are alike."""
    groups = [build(group) for group in fields.head_groups(layer)]
    return groups[0] if len(groups) == 1 else MixedAttention(groups)


def _check_shared_keys(fields: ReformerFields, layer: LayerSpec) -> None:
    """Heads that share keys must be able to."""
    asked, heads = fields.num_key_value_heads, fields.num_attention_heads
    groups = fields.head_groups(layer)
    if asked is None or asked == heads:
        return
    if asked < 1 or heads % asked:
        raise ValueError(f"num_key_value_heads={asked}: expected a divisor of num_attention_heads={heads}")
    if fields.shared_query_key and any("lsh" in group.kind for group in groups):
        raise ValueError(
            f"num_key_value_heads={asked} with shared_query_key=True: in hashed layers the queries of each head "
            "then are its keys, and none can be shared between heads; set shared_query_key=False"
        )
    for group in groups:
        shared = {head * asked // heads for head in group.heads}
        if len(shared) * (heads // asked) != len(group.heads):
            raise ValueError(
                f"num_key_value_heads={asked} has {heads // asked} neighbouring heads share keys, but in layer "
                f"{layer} with local_window={fields.local_window} and lsh_window={fields.lsh_window} heads "
                f"{list(group.heads)} are alike and share keys with others; make heads that share keys alike"
            )


def _check_global_tokens(fields: ReformerFields) -> None:
    places = list(fields.global_tokens)
    if len(set(places)) < len(places):
        raise ValueError(f"global_tokens={places}: expected different places")
    if (fields.is_decoder or fields.is_encoder_decoder) and min(places, default=0) < 0:
        raise ValueError(
            f"global_tokens={places} of a causal model: places from the end would be seen ahead of time; give places "
            "from the beginning alone, 0 and above"
        )


def _check_time_bias(fields: ReformerFields) -> None:
    steps, heads = fields.time_bias_steps, fields.num_attention_heads
    if fields.time_bias_length < 0:
        raise ValueError(f"time_bias_length={fields.time_bias_length}: expected 0 (no time bias) or a length")
    if steps is None:
        return
    if len(steps) != heads:
        raise ValueError(f"time_bias_steps={list(steps)}: {len(steps)} for num_attention_heads={heads}; give one each")
    if any(steps[head] != steps[head - head % fields.heads_sharing_keys] for head in range(heads)):
        raise ValueError(
            f"time_bias_steps={list(steps)} with num_key_value_heads={fields.num_key_value_heads}: "
            f"{fields.heads_sharing_keys} neighbouring heads share keys, so they need one time step, the same"
        )
