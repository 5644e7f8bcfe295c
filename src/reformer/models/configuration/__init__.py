"""Configuration of the models."""

from reformer.models.configuration.config import ReformerConfig

__all__ = [
    "ReformerConfig",
]
