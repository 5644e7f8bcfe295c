"""Layers: attention in and across sequences, feed-forward, convolution, n-grams, positions, covariates, the reversible
stack."""

from reformer.nn.attention import Attention
from reformer.nn.attention_options import AttentionOptions
from reformer.nn.between import Between
from reformer.nn.bottleneck import Bottleneck
from reformer.nn.channels import Channels
from reformer.nn.character_reader import CharacterReader
from reformer.nn.circulant import CirculantLinear
from reformer.nn.convolution import SeparableConvolution
from reformer.nn.covariates import CovariateFeatures
from reformer.nn.cross_attention import CrossAttention
from reformer.nn.feed_forward import FeedForward
from reformer.nn.fourier import FourierConvolution
from reformer.nn.fusion import FusionPooling
from reformer.nn.hourglass import Hourglass
from reformer.nn.layer import HeadLayer, Layer
from reformer.nn.layer_drop import LayerDrop
from reformer.nn.mixed_attention import MixedAttention
from reformer.nn.ngram_logits import NgramLogits, SequenceNgramLogits, TokenNgramLogits
from reformer.nn.ngrams import NgramEmbedding
from reformer.nn.positions import AxialPositions, LearnedPositions, SinusoidalPositions
from reformer.nn.question_matches import QuestionMatches
from reformer.nn.replay import Replay
from reformer.nn.residual import ResidualSequence
from reformer.nn.reversible import ReversibleSequence
from reformer.nn.score_transform import LearnedTransform
from reformer.nn.sublayer import SubLayer
from reformer.nn.time_bias import TimeBias
from reformer.nn.tokens import Source, Tokens

__all__ = [
    "Attention",
    "AttentionOptions",
    "AxialPositions",
    "Between",
    "Bottleneck",
    "Channels",
    "CharacterReader",
    "CirculantLinear",
    "CovariateFeatures",
    "CrossAttention",
    "FeedForward",
    "FourierConvolution",
    "FusionPooling",
    "HeadLayer",
    "Hourglass",
    "Layer",
    "LayerDrop",
    "LearnedPositions",
    "LearnedTransform",
    "MixedAttention",
    "NgramEmbedding",
    "NgramLogits",
    "QuestionMatches",
    "Replay",
    "ResidualSequence",
    "ReversibleSequence",
    "SeparableConvolution",
    "SequenceNgramLogits",
    "SinusoidalPositions",
    "Source",
    "SubLayer",
    "TimeBias",
    "TokenNgramLogits",
    "Tokens",
]
