"""Transformers over very long sequences on one ordinary machine."""

__version__ = "0.1.0"
