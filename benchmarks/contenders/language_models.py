"""Whole causal language models of one shape, each taking a training step."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.case import Action, Contender, ContractError
from benchmarks.contenders.transformers_lsh import factored_buckets
from benchmarks.contenders.vectors import bucket_number

VOCABULARY = 258
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 256,
    "num_attention_heads": 4,
    "attention_head_size": 64,
    "feed_forward_size": 1024,
    "hidden_act": "relu",
    "hidden_dropout_prob": 0.0,
    "is_decoder": True,
    "axial_pos_embds_dim": [64, 192],
}
LAYERS = 6
ROUNDS = 2
CHECK_LENGTH = 256


def hashed_model(length: int) -> nn.Module:
    """Ours, local and hashed attention in turns, reversible."""
    return _ours(length, ["local", "lsh"] * (LAYERS // 2), reversible=True)


def full_model(length: int, *, reversible: bool) -> nn.Module:
    """The same with full attention in every layer."""
    return _ours(length, ["full"] * LAYERS, reversible=reversible)


def transformers_model(length: int) -> nn.Module:
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
            attn_layers=["local", "lsh"] * (LAYERS // 2),
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


def _ours(length: int, attention_layers: list[str], *, reversible: bool) -> nn.Module:
    from reformer.models import ReformerConfig, ReformerForCausalLM

    return ReformerForCausalLM(
        ReformerConfig(
            **SHAPE,
            attention_layers=attention_layers,
            position_embedding_type="axial",
            axial_pos_shape=_axial_shape(length),
            max_position_embeddings=length,
            num_buckets=bucket_number(length),
            num_rounds=ROUNDS,
            local_window=64,
            lsh_window=64,
            reversible=reversible,
        )
    )


def _axial_shape(length: int) -> list[int]:
    """Two factors of a power of two, as equal as possible."""
    first = 1 << ((length.bit_length() - 1) // 2)
    return [first, length // first]


def training_step(
    name: str,
    family: str,
    make: Callable[[int], nn.Module],
    *,
    bfloat16: bool = False,
    must_be_causal: bool = True,
    longest: int = 1 << 62,
) -> Contender:
    """Forward, backward and an AdamW step over one sequence of random bytes."""
    autocast = partial(torch.autocast, "cpu", torch.bfloat16) if bfloat16 else nullcontext

    def build(length: int) -> dict[str, Action]:
        torch.manual_seed(0)
        model = make(length).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        ids = torch.randint(2, VOCABULARY, (1, length))
        step = partial(_step, model, optimizer, ids, autocast)
        return {"step": Action(lambda _: step())}

    def check() -> str:
        model = make(CHECK_LENGTH)
        return _check(model, autocast, must_be_causal)

    options = {"dtype": "bfloat16 autocast" if bfloat16 else "float32"}
    return Contender(name, family, build, check, options, longest)


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
