"""Fine-tuning: a trained model in, a model out."""

from reformer.finetuning.architecture import CHANGEABLE, changed_config
from reformer.finetuning.errors import FinetuningError
from reformer.finetuning.pretrained import load_pretrained
from reformer.finetuning.transfer import Transfer, transfer

__all__ = [
    "CHANGEABLE",
    "FinetuningError",
    "Transfer",
    "changed_config",
    "load_pretrained",
    "transfer",
]
