"""Models for transformers, registered with its `Auto` classes on import."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from reformer.models.backbone import ReformerModel, ReformerPreTrainedModel
from reformer.models.configuration import ReformerConfig
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

AutoConfig.register(ReformerConfig.model_type, ReformerConfig)
for _auto, _model in (
    (AutoModel, ReformerModel),
    (AutoModelForCausalLM, ReformerForCausalLM),
    (AutoModelForMaskedLM, ReformerForMaskedLM),
    (AutoModelForQuestionAnswering, ReformerForQuestionAnswering),
    (AutoModelForSeq2SeqLM, ReformerForConditionalGeneration),
    (AutoModelForSequenceClassification, ReformerForSequenceClassification),
    (AutoModelForTokenClassification, ReformerForTokenClassification),
):
    # transformers has a configuration of the same name, for its own Reformer, which stays as it is.
    _auto.register(ReformerConfig, _model, exist_ok=True)

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
]
