"""Models of other architectures as ours: their configuration as our fields, their weights under our names."""

from reformer.models.pretrained.convert import Converted, convert
from reformer.models.pretrained.table import ARCHITECTURES
from reformer.models.pretrained.weights import PretrainedError

__all__ = ["ARCHITECTURES", "Converted", "PretrainedError", "convert"]
