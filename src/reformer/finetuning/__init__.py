"""Fine-tuning: a trained model in, a model out."""

from reformer.finetuning.adapter import Adapter, Base
from reformer.finetuning.config_changes import CHANGEABLE, changed_config
from reformer.finetuning.errors import FinetuningError
from reformer.finetuning.freeze import freeze, freeze_all_but_top
from reformer.finetuning.lasso import GroupLasso
from reformer.finetuning.layers import layers
from reformer.finetuning.lora import PROJECTIONS, add_lora, merge_lora
from reformer.finetuning.pretrained import load_pretrained
from reformer.finetuning.share import share
from reformer.finetuning.transfer import Transfer, transfer
from reformer.finetuning.trim import Trimmed, keep_layers, trim
from reformer.finetuning.trim_heads import TrimmedHeads, heads_of, keep_heads, trim_heads
from reformer.finetuning.widen import widen

__all__ = [
    "CHANGEABLE",
    "PROJECTIONS",
    "Adapter",
    "Base",
    "FinetuningError",
    "GroupLasso",
    "Transfer",
    "Trimmed",
    "TrimmedHeads",
    "add_lora",
    "changed_config",
    "freeze",
    "freeze_all_but_top",
    "heads_of",
    "keep_heads",
    "keep_layers",
    "layers",
    "load_pretrained",
    "merge_lora",
    "share",
    "transfer",
    "trim",
    "trim_heads",
    "widen",
]
