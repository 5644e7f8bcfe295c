"""What can be wrong about a trained model that another one is to be made of."""

from reformer.errors import ReformerError


class FinetuningError(ReformerError):
    """A model that cannot be read, does not fit, or cannot become what was asked for."""
