"""Models for transformers, whose Auto classes know them."""

from reformer.models.backbone import ReformerModel
from reformer.models.base import ReformerPreTrainedModel
from reformer.models.configuration import ReformerConfig, ReformerTorchConfig
from reformer.models.heads import (
    ReformerForCausalLM,
    ReformerForMaskedLM,
    ReformerForQuestionAnswering,
    ReformerForSequenceClassification,
    ReformerForTokenClassification,
)
from reformer.models.heads.encoder_decoder import ReformerEncoderDecoder, ReformerForConditionalGeneration
from reformer.models.heads.forecasting import ForecastOutput, ReformerForForecasting
from reformer.models.heads.images import ReformerForImageClassification, ReformerForImageToText

__all__ = [
    "ForecastOutput",
    "ReformerConfig",
    "ReformerEncoderDecoder",
    "ReformerForCausalLM",
    "ReformerForConditionalGeneration",
    "ReformerForForecasting",
    "ReformerForImageClassification",
    "ReformerForImageToText",
    "ReformerForMaskedLM",
    "ReformerForQuestionAnswering",
    "ReformerForSequenceClassification",
    "ReformerForTokenClassification",
    "ReformerModel",
    "ReformerPreTrainedModel",
    "ReformerTorchConfig",
]
