"""Fine-tuning: a trained model in, a model out."""

from reformer.finetuning.architecture import CHANGEABLE, changed_config
from reformer.finetuning.errors import FinetuningError
from reformer.finetuning.freeze import freeze, freeze_all_but_top
from reformer.finetuning.layers import layers
from reformer.finetuning.pretrained import load_pretrained
from reformer.finetuning.transfer import Transfer, transfer

__all__ = [
    "CHANGEABLE",
    "FinetuningError",
    "Transfer",
    "changed_config",
    "freeze",
    "freeze_all_but_top",
    "layers",
    "load_pretrained",
    "transfer",
]
