"""Window attention for models of transformers, registered with its attention interface."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from reformer.errors import ReformerError
from reformer.nn import Tokens
from reformer.ops import window_attention
from reformer.ops.window_attention import MAX_WINDOW

UNKNOWN = ("cache", "head_mask", "position_bias", "s_aux", "softcap", "cu_seq_lens_q")
"""Arguments by which a model asks for another function."""


def register_attention(window: int | None = None, *, ends: bool = False) -> str:
    """Register window attention with transformers, and the mask function that it needs, without which transformers
    would show padding to every token and say nothing.

    Any model of transformers that goes by its attention interface then takes it by name; its weights and its code stay
    what they are. Layers that have a sliding window of their own keep it where it is smaller.

    Not served, and refused when the model runs: dropout of attention weights in training, packed sequences and masks
    of four dimensions, `output_attentions`, queries of another length than the keys (caches and cross attention), and
    functions of the scores such as soft caps.

    Args:
        window: how far each token sees: the token itself and `window - 1` before it (and as many after it, unless the
            model is causal). None: all tokens.
        ends: the first and the last real token are seen by all, as a BERT has learned of its special tokens, in the
            layers that have no sliding window of their own. For models that read both sides.

    Returns:
        The name: "reformer", or such as "reformer-64" and "reformer-64-ends".

    Raises:
        ReformerError: a window below 1, or `ends` without a window.

    Example:
        >>> from transformers import BertConfig, BertModel
        >>> size = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "num_hidden_layers": 1}
        >>> model = BertModel(BertConfig(**size)).eval()
        >>> model.set_attn_implementation(register_attention(64))
        >>> model.config._attn_implementation
        'reformer-64'
    """
    if window is not None and window < 1:
        raise ReformerError(f"window={window}: expected at least 1, the token itself")
    if ends and window is None:
        raise ReformerError("ends=True without a window: all tokens are seen anyway; give window too")
    name = "reformer" + (f"-{window}" if window else "") + ("-ends" if ends else "")
    AttentionInterface.register(name, partial(_attention, window=window, ends=ends))
    AttentionMaskInterface.register(name, _mask)
    return name


def _attention(
    module: nn.Module,
    query: Float[Tensor, "batch heads length head_dim"],
    key: Float[Tensor, "batch key_heads keys head_dim"],
    value: Float[Tensor, "batch key_heads keys head_dim"],
    attention_mask: Tensor | None,
    *,
    window: int | None,
    ends: bool,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    **options: Any,
) -> tuple[Float[Tensor, "batch length heads head_dim"], None]:
    causal = bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
    _refuse(module, query, key, attention_mask, dropout, options)
    if ends and causal:
        raise ReformerError("ends=True for a causal model: the last token would be seen ahead of time; leave it out")
    windows = [MAX_WINDOW if window is None else window]
    if sliding_window is not None:
        windows = [min(windows[0], sliding_window)]
    mask = torch.ones(query.shape[0], query.shape[2], dtype=torch.bool, device=query.device)
    tokens = Tokens.of(mask if attention_mask is None else attention_mask.bool())
    by_all = ends and sliding_window is None
    if by_all:
        tokens, windows = tokens.with_global((0, -1), causal), [*windows, 2]
    slots, key_slots = tokens.by_position(True, by_all)
    shared_by = query.shape[1] // key.shape[1]
    key, value = (vectors.repeat_interleave(shared_by, 1) if shared_by > 1 else vectors for vectors in (key, value))
    found = window_attention(query, key, value, slots, key_slots, window=windows, causal=causal, scale=scaling)
    return found.transpose(1, 2).contiguous(), None


def _refuse(
    module: nn.Module, query: Tensor, key: Tensor, mask: Tensor | None, dropout: float, options: dict[str, Any]
) -> None:
    if dropout > 0:
        raise ReformerError(
            f"dropout of {dropout} of the attention weights, which window attention never holds; set it to 0 in the "
            "model's configuration (attention_probs_dropout_prob or attention_dropout)"
        )
    if query.shape[2] != key.shape[2]:
        raise ReformerError(
            f"{query.shape[2]} queries and {key.shape[2]} keys: caches and cross attention are not served; give whole "
            "sequences (use_cache=False)"
        )
    if mask is not None and mask.dim() != 2:
        raise ReformerError(
            f"attention_mask has shape {tuple(mask.shape)}: expected [batch, length], which tokens are real"
        )
    asks = options.get("output_attentions") or getattr(getattr(module, "config", None), "output_attentions", False)
    if asks:
        raise ReformerError("output_attentions=True: window attention never holds the weights; leave it out")
    if unknown := [name for name in UNKNOWN if options.get(name) is not None]:
        raise ReformerError(f"this model asks for {', '.join(unknown)}, which window attention has not")


def _mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int | Tensor = 0,
    kv_offset: int = 0,
    mask_function: Callable[..., Any] | None = None,
    attention_mask: Bool[Tensor, "batch length"] | None = None,
    use_vmap: bool = False,
    device: torch.device | str = "cpu",
    **options: Any,
) -> Bool[Tensor, "batch length"] | None:
    """Which tokens are real, as `_attention` reads it; None where all are."""
    if q_length != kv_length:
        raise ReformerError(
            f"{q_length} queries and {kv_length} keys: caches and cross attention are not served; give whole "
            "sequences (use_cache=False)"
        )
    if use_vmap or (mask_function is not None and not _is_one_sequence(mask_function, batch_size, q_length, device)):
        raise ReformerError(
            "packed sequences, chunks or another mask of the model's own: window attention sees one sequence a row; "
            "give each sequence a row, padded"
        )
    return None if attention_mask is None or bool(attention_mask.all()) else attention_mask


def _is_one_sequence(see: Callable[..., Any], batch: int, length: int, device: torch.device | str) -> bool:
    """Whether every token sees the one before it, and either all or none see the one after it: then a mask of
    transformers is that of one causal or both-sided sequence, but for its window, of which each layer tells."""
    rows = torch.arange(batch, device=device)[:, None]
    later = torch.arange(1, length, device=device)[None].expand(batch, -1)
    heads = torch.zeros_like(later)
    before, after = (see(rows.expand_as(later), heads, *pair) for pair in ((later, later - 1), (later - 1, later)))
    before, after = (torch.as_tensor(seen, device=device).expand(batch, length - 1) for seen in (before, after))
    return bool(before.all()) and (bool(after.all()) or not bool(after.any()))
