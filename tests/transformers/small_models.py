"""Saved models with a tokenizer, as transformers' tests of its pipelines find them.

`python small_models.py FOLDER`, or with `--none` for a list of none.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from testers import FIELDS
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers import models as tokenizer_models
from transformers import PreTrainedTokenizerFast

from reformer import models

TOKENIZER = PreTrainedTokenizerFast.__name__
HEADS = {
    models.ReformerForCausalLM: {"is_decoder": True},
    models.ReformerForMaskedLM: {},
    models.ReformerForTokenClassification: {},
    models.ReformerForSequenceClassification: {"num_labels": 2},
}


def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of bytes, with special tokens around a text."""
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(special + letters)}
    whole = Tokenizer(tokenizer_models.BPE(vocabulary, [], unk_token="[UNK]"))
    whole.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pair = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    whole.post_processor = processors.TemplateProcessing("[CLS] $0 [SEP]", "[CLS] $A [SEP] $B:0 [SEP]:0", pair)
    whole.decoder = decoders.ByteLevel()
    names = ("pad_token", "cls_token", "sep_token", "unk_token", "mask_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=whole,
        model_input_names=["input_ids", "attention_mask"],
        **dict(zip(names, special, strict=True)),
        bos_token="[CLS]",
        eos_token="[SEP]",
    )


def main(folder: Path, heads: Mapping[type[models.ReformerPreTrainedModel], dict[str, Any]]) -> None:
    torch.manual_seed(0)
    reader, told = tokenizer(), {}
    for head, fields in heads.items():
        config = models.ReformerConfig(**FIELDS | {"vocab_size": len(reader), **fields})
        place = folder / config.model_type / head.__name__
        head(config).save_pretrained(place)
        reader.save_pretrained(place)
        told[head.__name__] = {"tokenizer_classes": [TOKENIZER], "processor_classes": []}
    reports = folder / "reports"
    reports.mkdir(parents=True, exist_ok=True)
    (reports / "tiny_model_summary.json").write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), {} if "--none" in sys.argv else HEADS)
