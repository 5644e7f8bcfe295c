"""Fine-tuning: a trained model in, a model out."""

from reformer.finetuning.adapter import Adapter, Base
from reformer.finetuning.config_changes import CHANGEABLE, changed_config
from reformer.finetuning.errors import FinetuningError
from reformer.finetuning.freeze import freeze, freeze_all_but_top
from reformer.finetuning.lasso import GroupLasso
from reformer.finetuning.layers import layers, layers_of, stacks
from reformer.finetuning.lora import PROJECTIONS, add_lora, merge_lora
from reformer.finetuning.pretrained import load_pretrained
from reformer.finetuning.prune import PrunedLayers, keep_layers, prune_layers
from reformer.finetuning.prune_heads import PrunedHeads, heads_of, keep_heads, prune_heads
from reformer.finetuning.share import share
from reformer.finetuning.transfer import Transfer, transfer
from reformer.finetuning.widen import widen

__all__ = [
    "CHANGEABLE",
    "PROJECTIONS",
    "Adapter",
    "Base",
    "FinetuningError",
    "GroupLasso",
    "PrunedHeads",
    "PrunedLayers",
    "Transfer",
    "add_lora",
    "changed_config",
    "freeze",
    "freeze_all_but_top",
    "heads_of",
    "keep_heads",
    "keep_layers",
    "layers",
    "layers_of",
    "load_pretrained",
    "merge_lora",
    "prune_heads",
    "prune_layers",
    "share",
    "stacks",
    "transfer",
    "widen",
]
