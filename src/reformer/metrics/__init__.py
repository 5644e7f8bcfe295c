"""Metrics, one file a kind of prediction."""

from reformer.metrics.answers import AnswerScore
from reformer.metrics.base import Score
from reformer.metrics.classification import ClassScore, EntityScore
from reformer.metrics.forecasting import ForecastScore
from reformer.metrics.language import HiddenTokenScore, TextScore, bits_per_byte, perplexity
from reformer.metrics.texts import CharacterScore, bleu, text_scores

__all__ = [
    "AnswerScore",
    "CharacterScore",
    "ClassScore",
    "EntityScore",
    "ForecastScore",
    "HiddenTokenScore",
    "Score",
    "TextScore",
    "bits_per_byte",
    "bleu",
    "perplexity",
    "text_scores",
]
