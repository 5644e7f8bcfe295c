"""Whole causal language models of one shape, each taking a training step."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from benchmarks.case import NO_LIMIT, Action, Contender, ContractError
from benchmarks.contenders.peers import factored_buckets
from benchmarks.contenders.vectors import bucket_number
from benchmarks.learning import causal_lm

VOCABULARY = 258
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 256,
    "num_attention_heads": 4,
    "attention_head_size": 64,
    "feed_forward_size": 1024,
    "hidden_act": "relu",
    "hidden_dropout_prob": 0.0,
    "axial_pos_embds_dim": [64, 192],
}
LAYERS = 6
ROUNDS = 2
CHECK_LENGTH = 256


def hashed_model(length: int, layers: int = LAYERS, *, reversible: bool = True, **changes: Any) -> nn.Module:
    """Ours, local and hashed attention in turns."""
    return _ours(length, ["local", "lsh"] * (layers // 2), reversible=reversible, **changes)


def one_stream_model(length: int, layers: int = LAYERS, *, recompute: bool) -> nn.Module:
    """The same on one stream with the norm behind each sub-layer, as a converted BERT has it."""
    plain = {"residual_streams": 1, "norm_order": "post", "recompute": recompute}
    return hashed_model(length, layers, reversible=False, **plain)


def full_model(length: int, layers: int = LAYERS, *, reversible: bool, checkpointed: bool = False) -> nn.Module:
    """The same with full attention in every layer; `checkpointed` keeps the input of each sub-layer alone and runs it
    again in the backward pass, as is usual where layers are not reversible."""
    made = _ours(length, ["full"] * layers, reversible=reversible)
    if checkpointed:
        for sublayer in made.get_submodule("reformer.encoder.sublayers").children():
            sublayer.forward = partial(checkpoint, sublayer.forward, use_reentrant=False)
    return made


def million_model(length: int, **changes: Any) -> nn.Module:
    """The model of `recipes/enwik8-1m.toml`, whatever the length: 256 buckets, rotary positions."""
    settings: dict[str, Any] = {
        "attention_layers": ["local", "lsh"] * (LAYERS // 2),
        "hidden_act": "gelu",
        "position_embedding_type": "rotary",
        "axial_pos_embds_dim": None,
        "axial_pos_shape": None,
        "num_buckets": 256,
    }
    return _ours(length, **(settings | changes))


def transformers_model(length: int, layers: int = LAYERS) -> nn.Module:
    """transformers' Reformer: local and hashed attention in turns, always reversible."""
    # Imported here, so that the other contenders can be measured where it is missing.
    from transformers.models.reformer.configuration_reformer import ReformerConfig
    from transformers.models.reformer.modeling_reformer import ReformerModelWithLMHead
    from transformers.utils import logging

    # It warns of its own default loss.
    logging.set_verbosity_error()
    return ReformerModelWithLMHead(
        ReformerConfig(
            **SHAPE,
            is_decoder=True,
            attn_layers=["local", "lsh"] * (layers // 2),
            axial_pos_shape=_axial_shape(length),
            max_position_embeddings=length,
            num_buckets=factored_buckets(length),
            num_hashes=ROUNDS,
            lsh_attention_probs_dropout_prob=0.0,
            local_attention_probs_dropout_prob=0.0,
            # Left on, it keeps the hidden states of every layer while training.
            use_cache=False,
        )
    )


def _ours(length: int, attention_layers: list[str], **changes: Any) -> nn.Module:
    settings = SHAPE | {
        "attention_layers": attention_layers,
        "position_embedding_type": "axial",
        "axial_pos_shape": _axial_shape(length),
        "max_position_embeddings": length,
        "num_buckets": bucket_number(length),
        "num_rounds": ROUNDS,
        "local_window": 64,
        "lsh_window": 64,
    }
    return causal_lm(**(settings | changes))


def _axial_shape(length: int) -> list[int]:
    """Two factors of a power of two, as equal as possible."""
    first = 1 << ((length.bit_length() - 1) // 2)
    return [first, length // first]


def training_step(
    name: str,
    family: str,
    make: Callable[..., nn.Module],
    *,
    bfloat16: bool = False,
    must_be_causal: bool = True,
    tokens: int | None = None,
    longest: int = NO_LIMIT,
) -> Contender:
    """Forward, backward and an AdamW step over one sequence of random bytes.

    Args:
        make: the model for a length.
        tokens: the length, where a case varies the number of layers, which is then given to `make` too.
    """
    autocast = partial(_half, torch.bfloat16) if bfloat16 else nullcontext

    def build(size: int) -> dict[str, Action]:
        torch.manual_seed(0)
        model = (make(size) if tokens is None else make(tokens, size)).train()
        optimizer = _optimizer(model)
        ids = torch.randint(2, VOCABULARY, (1, tokens or size))
        step = partial(_step, model, optimizer, ids, autocast)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        return {"step": Action(lambda _: step(), facts={"tokens": ids.numel(), "parameters": parameters})}

    def check() -> str:
        return _check(make(CHECK_LENGTH), autocast, must_be_causal)

    options = {"dtype": "bfloat16 autocast" if bfloat16 else "float32"}
    return Contender(name, family, build, check, options, longest)


def _half(dtype: torch.dtype) -> AbstractContextManager[Any]:
    return torch.autocast(torch.get_default_device().type, dtype)


def _optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """AdamW with its state made already, so that the first step that is measured needs the memory of any other."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return optimizer


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    ids: torch.Tensor,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> dict[str, float]:
    optimizer.zero_grad(set_to_none=True)
    with autocast():
        loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    optimizer.step()
    return {"loss": loss.item()}


def _check(model: nn.Module, autocast: Callable[[], AbstractContextManager[Any]], must_be_causal: bool) -> str:
    """A step lowers the loss and leaves finite gradients everywhere; in evaluation the future changes nothing."""
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-3)
    ids = torch.randint(2, VOCABULARY, (1, CHECK_LENGTH))
    losses = [_step(model, optimizer, ids, autocast)["loss"] for _ in range(4)]
    if not losses[-1] < losses[0]:
        raise ContractError(f"four steps on one batch did not lower the loss: {losses}")
    # transformers' output bias is declared twice and used once; a parameter that is not used has no gradient.
    bad = [n for n, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
    if bad:
        raise ContractError(f"gradients that are not finite: {', '.join(bad)}")
    middle = CHECK_LENGTH // 2
    edited = ids.clone()
    edited[:, middle:] = torch.randint(2, VOCABULARY, (1, CHECK_LENGTH - middle))
    model.eval()
    outputs = []
    for given in (ids, edited):
        torch.manual_seed(2)
        with torch.no_grad(), autocast():
            outputs.append(model(input_ids=given).logits[:, :middle].float())
    changed = int(((outputs[0] - outputs[1]).abs() > 1e-4).any(-1).sum())
    if changed and must_be_causal:
        raise ContractError(f"an edit from token {middle} on changed {changed} outputs before it")
    return (
        f"loss {losses[0]:.3f} to {losses[-1]:.3f} in 4 steps; an edit from token {middle} on changed {changed} of "
        f"{middle} outputs before it"
    )
