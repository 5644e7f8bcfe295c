"""Errors about trained models that fine-tuning starts from."""

from reformer.errors import ReformerError


class FinetuningError(ReformerError):
    """A trained model that cannot be read, does not fit the task, or cannot be changed as asked."""
