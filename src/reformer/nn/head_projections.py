"""Projections of attention: queries, keys and values of the heads, and the heads' outputs joined and projected."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reformer.nn.attention_options import AttentionOptions
from reformer.nn.convolution import depthwise
from reformer.nn.feed_forward import ACTIVATIONS
from reformer.nn.float32 import in_float32
from reformer.nn.layer import HeadLayer
from reformer.nn.memory import Memory
from reformer.nn.norms import RMSNorm
from reformer.nn.sequence_part import HeadShare
from reformer.nn.tokens import Tokens


class HeadProjections(HeadLayer):
    """What an attention makes of each token alone, and of few neighbours where it has filters.

    Args:
        hidden_size, source_size: the widths of what queries, and of what keys and values, are made of.
        heads, key_heads, head_dim: how many heads of queries and of keys, and how wide.
        options: biases, norms, gates, filters.
        shared: whether the queries are the keys.
        causal: whether filters see no later token.

    Raises:
        ValueError: `key_heads` that do not divide `heads`, or are fewer where the queries are the keys.
    """

    def __init__(
        self,
        hidden_size: int,
        source_size: int,
        heads: int,
        key_heads: int | None,
        head_dim: int,
        options: AttentionOptions,
        *,
        shared: bool,
        causal: bool,
    ) -> None:
        super().__init__()
        self.heads, self.head_dim, self.shared, self.causal = heads, head_dim, shared, causal
        self.key_heads = heads if key_heads is None else key_heads
        if self.key_heads < 1 or heads % self.key_heads or (shared and self.key_heads != heads):
            raise ValueError(
                f"key_value_heads={key_heads} for {heads} heads{', whose queries are keys' * shared}: "
                f"expected {heads if shared else f'a divisor of {heads}'}"
            )
        width, key_width = self.heads * self.head_dim, self.key_heads * self.head_dim
        bias = options.bias != "none"
        if self.shared:
            self.query_key = nn.Linear(hidden_size, width, bias)
        else:
            self.query = nn.Linear(hidden_size, width, bias)
            self.key = nn.Linear(source_size, key_width, bias)
        self.value = nn.Linear(source_size, key_width, bias)
        self.query_norm = RMSNorm(self.head_dim, options.norm_eps) if options.query_key_norm else None
        self.key_norm = None if self.shared or self.query_norm is None else RMSNorm(self.head_dim, options.norm_eps)
        self.gate = nn.Linear(hidden_size, self.heads) if options.gated else None
        self.activation = None if options.activation is None else ACTIVATIONS[options.activation]
        self.output = nn.Linear(width, hidden_size, options.bias == "all")
        self.projection_kernel = options.projection_kernel
        for name in self._filtered:
            filters = torch.empty(self.projection_kernel, getattr(self, name).out_features)
            self.register_parameter(f"{name}_filters", nn.Parameter(filters))
        self._reset_filters()

    @property
    def output_maps(self) -> tuple[nn.Module]:
        return (self.output,)

    def output_columns(self, first: int, count: int) -> Float[Tensor, "hidden columns"]:
        return self.output.weight[:, first * self.head_dim : (first + count) * self.head_dim]

    def state_of_heads(self, heads: Sequence[int]) -> dict[str, Tensor]:
        together = self.heads // self.key_heads
        places = torch.tensor(heads)
        key_places = places[::together] // together
        return {name: self._of_heads(name, weight, places, key_places) for name, weight in self.state_dict().items()}

    def _of_heads(self, name: str, weight: Tensor, places: Tensor, key_places: Tensor) -> Tensor:
        """The part of a weight that belongs to some of the heads."""
        part = name.partition(".")[0]
        if part in ("query_norm", "key_norm") or name == "output.bias":
            return weight
        of_keys = part in ("key", "value", "key_filters", "value_filters") or part.startswith("rotation_")
        chosen, count = (key_places, self.key_heads) if of_keys else (places, self.heads)
        # The output projection and filters have the heads' channels last; every other weight has heads first.
        last = part == "output" or part.endswith("_filters")
        divided = weight.unflatten(-1 if last else 0, (count, -1))
        found = divided.index_select(-2 if last else 0, chosen.to(weight.device))
        return found.flatten(-2, -1) if last else found.flatten(0, 1)

    @property
    def _filtered(self) -> tuple[str, ...]:
        """The projections with filters over neighbouring tokens."""
        if not self.projection_kernel:
            return ()
        return ("query_key", "value") if self.shared else ("query", "key", "value")

    @torch.no_grad()
    def _reset_filters(self) -> None:
        for name in self._filtered:
            filters = self.get_parameter(f"{name}_filters").zero_()
            filters[-1 if self.causal else self.projection_kernel // 2] = 1

    def _projected(
        self, name: str, hidden: Tensor, tokens: Tokens, memory: Memory | None, *, exact: bool = False
    ) -> Float[Tensor, "batch heads length head_dim"]:
        """The heads' vectors of a projection; with `exact` in float32, and without a gradient."""
        projection = getattr(self, name)
        vectors = in_float32(projection, hidden) if exact else projection(hidden)
        if name in self._filtered:
            filters, inputs = self.get_parameter(f"{name}_filters"), f"{name}_{'exact_' * exact}inputs"
            vectors = depthwise(vectors, filters, tokens, self.causal, memory, inputs)
        return self._split_heads(vectors, name, exact=exact)

    def _split_heads(
        self, vectors: Tensor, name: str, *, exact: bool = False
    ) -> Float[Tensor, "batch heads length head_dim"]:
        """The heads' vectors of the projection of this name, normalised where queries and keys are."""
        heads = vectors.unflatten(-1, (-1, self.head_dim))
        norm = {"query_key": self.query_norm, "query": self.query_norm, "key": self.key_norm}.get(name)
        if norm is not None:
            heads = in_float32(norm, heads) if exact else norm(heads)
        return heads.transpose(1, 2)

    def _repeat_kv(self, of_keys: Tensor, share: HeadShare | None = None) -> Tensor:
        """Keys, values or slots of each head of keys, repeated for the heads of queries that share it, of a share of
        all heads; a view where all share one."""
        share = HeadShare.of(self.heads, self.key_heads) if share is None else share
        if share.together == 1 or of_keys.shape[1] != share.key_heads:
            return of_keys
        return of_keys[:, :, None].expand(-1, -1, share.together, *of_keys.shape[2:]).flatten(1, 2)

    def merge(
        self, attended: Float[Tensor, "batch heads length head_dim"], gate: Float[Tensor, "batch length heads"] | None
    ) -> Float[Tensor, "batch length hidden"]:
        """The heads' outputs, gated, side by side, projected (`docs/math.md`, equation 16), of each token alone."""
        if gate is not None:
            attended = attended * gate.sigmoid().transpose(1, 2)[..., None]
        joined = attended.transpose(1, 2).flatten(2)
        return self.output(joined if self.activation is None else self.activation(joined))
