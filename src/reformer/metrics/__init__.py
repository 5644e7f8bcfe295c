"""Metrics, one file a kind of prediction."""

from reformer.metrics.answers import AnswerMetric
from reformer.metrics.base import Metric
from reformer.metrics.classification import ClassMetric, EntityMetric
from reformer.metrics.forecasting import ForecastMetric
from reformer.metrics.language import HiddenTokenMetric, TextMetric, bits_per_byte, perplexity
from reformer.metrics.texts import CharacterMetric, bleu, text_scores

__all__ = [
    "AnswerMetric",
    "CharacterMetric",
    "ClassMetric",
    "EntityMetric",
    "ForecastMetric",
    "HiddenTokenMetric",
    "Metric",
    "TextMetric",
    "bits_per_byte",
    "bleu",
    "perplexity",
    "text_scores",
]
