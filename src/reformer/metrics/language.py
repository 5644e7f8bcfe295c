"""Bits per byte, perplexity and masked-token accuracy."""

import math

import numpy as np
from jaxtyping import Float64


class TextMetric:
    """Bits per byte of a text, and perplexity over its tokens.

    Args:
        bytes_per_token: of the whole text, so that bits per byte do not depend on the tokenizer.
    """

    def __init__(self, bytes_per_token: float):
        self._bytes_per_token = bytes_per_token
        # The sum of the tokens' losses, in nats, and the number of tokens.
        self.counts: Float64[np.ndarray, 2] = np.zeros(2, dtype=np.float64)

    def update(self, loss: float, tokens: int) -> None:
        """Count a batch by its summed loss."""
        self.counts += (loss, tokens)

    def result(self) -> dict[str, float]:
        """`bits_per_byte`, `perplexity`, and over how many `tokens`."""
        loss, tokens = self.counts.tolist()
        mean = loss / tokens if tokens else math.nan
        return {
            "bits_per_byte": bits_per_byte(mean, self._bytes_per_token),
            "perplexity": perplexity(mean),
            "tokens": int(tokens),
        }


class HiddenTokenMetric:
    """Perplexity over masked tokens, and the accuracy of the most probable token."""

    def __init__(self) -> None:
        # The sum of the masked tokens' losses, in nats, correct predictions, and masked tokens.
        self.counts: Float64[np.ndarray, 3] = np.zeros(3, dtype=np.float64)

    def update(self, loss: float, right: int, hidden: int) -> None:
        """Count a batch by its summed loss."""
        self.counts += (loss, right, hidden)

    def result(self) -> dict[str, float]:
        """`perplexity`, `accuracy`, and over how many `hidden` tokens."""
        loss, right, hidden = self.counts.tolist()
        return {
            "perplexity": perplexity(loss / hidden if hidden else math.nan),
            "accuracy": right / hidden if hidden else 0.0,
            "hidden": int(hidden),
        }


def bits_per_byte(loss: float, bytes_per_token: float) -> float:
    """A mean loss in nats a token as bits a byte of text."""
    return loss / math.log(2) / bytes_per_token


def perplexity(loss: float) -> float:
    """The exponential of a mean loss; infinity where a float cannot hold it, and for NaN."""
    return math.exp(loss) if loss < 709 else math.inf
