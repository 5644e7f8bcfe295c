"""A language model that has read a text and now writes on, token by token."""

from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.case import NO_LIMIT, Action, Contender, ContractError
from benchmarks.contenders.language_models import VOCABULARY, million_model

PIECE = 1 << 14
"""Tokens of the text that are read at a time."""

TOKENS = 32
"""Tokens that are written in a call."""

CHECK_LENGTH = 200


def decoding(name: str, family: str, attention_layers: list[str], *, longest: int = NO_LIMIT) -> Contender:
    """The million-token model with these layers; a call appends tokens one by one, as `generate` does."""

    def make() -> nn.Module:
        torch.manual_seed(0)
        return million_model(1 << 20, attention_layers=attention_layers).eval()

    def build(length: int) -> dict[str, Action]:
        model: Any = make()
        stream = model.stream()
        for piece in torch.randint(2, VOCABULARY, (1, length)).split(PIECE, dim=1):
            stream(piece, logits_to_keep=1)
        facts = {"cache_bytes": stream.cache.nbytes, "tokens": TOKENS}
        return {"token": Action(partial(_write, stream), facts=facts)}

    return Contender(name, family, build, lambda: _check(make()), {"dtype": "float32"}, longest)


def _write(stream: Any, given: None) -> None:
    token = torch.ones(1, 1, dtype=torch.long)
    for _ in range(TOKENS):
        token = stream(token, logits_to_keep=1).logits[:, -1].argmax(-1, keepdim=True)


def _check(model: Any) -> str:
    """The logits token by token are those of the whole text at once."""
    ids = torch.randint(2, VOCABULARY, (1, CHECK_LENGTH))
    stream = model.stream()
    with torch.no_grad():
        parts = [stream(ids[:, : CHECK_LENGTH // 2]).logits]
        parts += [stream(token).logits for token in ids[:, CHECK_LENGTH // 2 :].split(1, dim=1)]
        error = float((torch.cat(parts, 1) - model(input_ids=ids).logits).abs().max())
    if error > 1e-4:
        raise ContractError(f"token by token differs from at once by {error:.1e}, at most 1e-4 is allowed")
    return f"{error:.1e} between token by token and at once, over {CHECK_LENGTH} tokens"
