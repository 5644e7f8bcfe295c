"""Heads of the models, one file a kind."""

from reformer.models.heads.base import IGNORE_INDEX, Head, token_loss
from reformer.models.heads.classification import ReformerForSequenceClassification, ReformerForTokenClassification
from reformer.models.heads.encoder_decoder import ReformerEncoderDecoder, ReformerForConditionalGeneration
from reformer.models.heads.forecasting import ForecastOutput, ReformerForForecasting
from reformer.models.heads.images import ReformerForImageClassification, ReformerForImageToText
from reformer.models.heads.language import LanguageModel, ReformerForCausalLM, ReformerForMaskedLM
from reformer.models.heads.question_answering import ReformerForQuestionAnswering

__all__ = [
    "IGNORE_INDEX",
    "ForecastOutput",
    "Head",
    "LanguageModel",
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
    "token_loss",
]
