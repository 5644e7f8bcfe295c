"""Configuration of the models."""

from reformer.models.configuration.config import ReformerConfig, ReformerTorchConfig
from reformer.models.configuration.fields import ReformerFields

__all__ = [
    "ReformerConfig",
    "ReformerFields",
    "ReformerTorchConfig",
]
