"""Cutting of a model's vocabulary to some of its tokens."""

from collections.abc import Sequence

import torch
from torch import nn
from transformers import PreTrainedModel

from reformer.finetuning.errors import FinetuningError
from reformer.finetuning.layers import backbone


@torch.no_grad()
def keep_tokens(model: PreTrainedModel, kept: Sequence[int]) -> None:
    """Leave a model the embeddings of these tokens alone, in place; token `i` is then what `kept[i]` was.

    Args:
        model: with its configuration, which is changed too.
        kept: rising numbers of tokens.

    Raises:
        FinetuningError: embeddings of groups of tokens, whose rows follow from all numbers.
    """
    stack, config = backbone(model), model.config
    for name in ("ngram_sizes", "wide_sizes"):
        if sizes := getattr(config, name):
            raise FinetuningError(
                f"{name}={list(sizes)}: the rows of n-grams follow from the tokens' numbers, so none can be left out; "
                "leave tokenizer.vocabulary out"
            )
    assert stack.embeddings is not None
    index = torch.tensor(list(kept), device=stack.embeddings.weight.device)
    stack.embeddings = nn.Embedding.from_pretrained(stack.embeddings.weight[index], freeze=False)
    head = model.get_output_embeddings()
    if isinstance(head, nn.Linear):
        head.weight = stack.embeddings.weight if config.tie_word_embeddings else nn.Parameter(head.weight[index])
        head.bias = nn.Parameter(head.bias[index])
        head.out_features = len(index)
    numbers = {old: new for new, old in enumerate(kept)}
    for name in ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"):
        if isinstance(old := getattr(config, name, None), int):
            setattr(config, name, numbers.get(old))
    config.vocab_size = len(index)
