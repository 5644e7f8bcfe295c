"""Channels of the residual stream: how a dimension of a parameter runs over them."""

from collections.abc import Mapping
from enum import Enum, auto


class Channels(Enum):
    """How a dimension of a parameter runs over the channels of the residual stream."""

    SUMMED = auto()
    """Products with all channels are added up, as over the columns of a linear map that reads the stream."""
    EACH = auto()
    """Every channel has an entry of its own, as the rows of a linear map that writes to the stream, or a norm."""
    MATCHED = auto()
    """Channels that meet as many others in a product of two vectors, as those of a projection that is compared with
    the embeddings."""


StreamChannels = Mapping[str, Mapping[int, Channels]]
"""By the beginning of a parameter's name, those of its dimensions that run over the stream's channels."""
