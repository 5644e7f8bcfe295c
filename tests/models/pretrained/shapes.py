"""Small random models of transformers, one for each architecture that can be converted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.models.auto import modeling_auto

VOCABULARY = 60
WIDTHS = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
BERT = WIDTHS | {"num_attention_heads": 4, "max_position_embeddings": 66, "initializer_range": 0.3, "pad_token_id": 1}
SPECIAL = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3}
DECODER = WIDTHS | SPECIAL | {"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.2}

SHAPES: dict[str, dict[str, Any]] = {
    "bert": BERT,
    "roberta": BERT,
    "xlm-roberta": BERT | {"type_vocab_size": 1},
    "electra": BERT | {"embedding_size": 32},
    "distilbert": {
        "vocab_size": VOCABULARY,
        "dim": 32,
        "hidden_dim": 48,
        "n_layers": 3,
        "n_heads": 4,
        "max_position_embeddings": 66,
        "initializer_range": 0.3,
    },
    "modernbert": WIDTHS
    | SPECIAL
    | {
        "num_attention_heads": 4,
        "local_attention": 8,
        "global_attn_every_n_layers": 2,
        "max_position_embeddings": 100,
        "initializer_range": 0.3,
        "cls_token_id": 2,
        "sep_token_id": 3,
    },
    "eurobert": DECODER,
    "llama": DECODER | {"attention_bias": True},
    "mistral": DECODER | {"sliding_window": 7, "head_dim": 8},
    "phi3": DECODER | {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5, "rope_theta": 500.0}},
    "qwen2": DECODER | {"tie_word_embeddings": True},
    "qwen3": DECODER | {"head_dim": 16},
    "reformer": {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "feed_forward_size": 48,
        "num_attention_heads": 4,
        "attention_head_size": 8,
        "attn_layers": ["local", "lsh", "lsh", "local"],
        "local_attn_chunk_length": 64,
        "lsh_attn_chunk_length": 64,
        "num_buckets": [4, 8],
        "num_hashes": 2,
        "axial_pos_shape": [16, 32],
        "axial_pos_embds_dim": [8, 24],
        "max_position_embeddings": 512,
        "is_decoder": True,
        "pad_token_id": 1,
        "initializer_range": 0.2,
    },
}

MAPPINGS = {
    "body": modeling_auto.MODEL_MAPPING,
    "masked": modeling_auto.MODEL_FOR_MASKED_LM_MAPPING,
    "causal": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING,
    "labels": modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    "questions": modeling_auto.MODEL_FOR_QUESTION_ANSWERING_MAPPING,
}
ENCODERS = ("bert", "roberta", "xlm-roberta", "electra", "distilbert", "modernbert", "eurobert")
CASES = [(name, head) for name in SHAPES for head in ("body", "masked" if name in ENCODERS else "causal")]
CASES += [(name, head) for name in ("bert", "xlm-roberta") for head in ("labels", "questions")]

CRIME_AND_PUNISHMENT: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 256,
    "feed_forward_size": 512,
    "num_attention_heads": 2,
    "attention_head_size": 64,
    "attn_layers": ["local", "lsh"] * 3,
    "local_attn_chunk_length": 64,
    "lsh_attn_chunk_length": 64,
    "num_buckets": [64, 128],
    "num_hashes": 1,
    "axial_pos_shape": [512, 1024],
    "axial_pos_embds_dim": [64, 192],
    "max_position_embeddings": 524288,
    "is_decoder": True,
}
"""Fields of google/reformer-crime-and-punishment."""


def build(name: str, head: str = "body", **options: Any) -> PreTrainedModel:
    """A model with random weights, biases and norms included."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(name, **(SHAPES[name] | {"num_labels": 2 if head == "questions" else 5} | options))
    model = MAPPINGS[head][type(config)](config).eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.normal_(0.0 if parameter_name.endswith("bias") else 1.0, 0.2)
    return model


def save_with_tokenizer(
    folder: Path,
    words: Sequence[str],
    name: str = "bert",
    head: str = "body",
    joined: bool = False,
    pair: str | None = None,
) -> None:
    """A model in a folder with a tokenizer of such words and pieces that puts special tokens around a text; `joined` if
    Chinese characters are not words of their own, `pair` its template of two texts."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    backend = Tokenizer(WordPiece({token: number for number, token in enumerate(tokens)}, unk_token="[UNK]"))
    backend.normalizer = BertNormalizer(handle_chinese_chars=not joined)
    backend.pre_tokenizer = BertPreTokenizer()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    backend.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", pair=pair, special_tokens=ends)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, mask_token="[MASK]", **names)
    build(name, head, vocab_size=len(tokens), pad_token_id=0, initializer_range=0.05).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
