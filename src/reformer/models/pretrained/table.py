"""Table of the architectures whose weights become ours, by transformers' names of their types."""

from reformer.models.pretrained.architecture import Architecture
from reformer.models.pretrained.bert import Bert, DistilBert, Electra, Roberta
from reformer.models.pretrained.llama import EuroBert, Llama, Mistral, Phi3, Qwen2, Qwen3
from reformer.models.pretrained.modernbert import ModernBert
from reformer.models.pretrained.reformer import TransformersReformer

ARCHITECTURES: dict[str, Architecture] = {
    "bert": Bert(),
    "roberta": Roberta(),
    "xlm-roberta": Roberta(),
    "electra": Electra(),
    "distilbert": DistilBert(),
    "modernbert": ModernBert(),
    "eurobert": EuroBert(),
    "llama": Llama(),
    "mistral": Mistral(),
    "phi3": Phi3(),
    "qwen2": Qwen2(),
    "qwen3": Qwen3(),
    "reformer": TransformersReformer(),
}
