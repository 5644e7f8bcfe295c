"""Layers: attention of every kind, feed-forward, convolution, n-grams, positions, and the reversible stack."""

from reformer.nn.attention import Attention
from reformer.nn.block import SubLayer
from reformer.nn.convolution import SeparableConvolution
from reformer.nn.feed_forward import FeedForward
from reformer.nn.ngrams import NgramEmbedding
from reformer.nn.positions import AxialPositions, LearnedPositions, SinusoidalPositions
from reformer.nn.replay import Replay
from reformer.nn.reversible import ReversibleSequence
from reformer.nn.tokens import Tokens

__all__ = [
    "Attention",
    "AxialPositions",
    "FeedForward",
    "LearnedPositions",
    "NgramEmbedding",
    "Replay",
    "ReversibleSequence",
    "SeparableConvolution",
    "SinusoidalPositions",
    "SubLayer",
    "Tokens",
]
