"""Bits per byte, perplexity and accuracy from summed losses."""

import math

import pytest

from reformer.metrics.language import HiddenTokenMetric, TextMetric, bits_per_byte, perplexity


def test_a_text_is_measured_by_its_bytes_and_its_tokens():
    metric = TextMetric(bytes_per_token=4.0)
    metric.update(math.log(2) * 30, 10)
    metric.update(math.log(2) * 50, 10)
    assert metric.result() == {"bits_per_byte": pytest.approx(1.0), "perplexity": pytest.approx(16.0), "tokens": 20}


def test_masked_tokens_add_up_over_batches():
    whole, other = HiddenTokenMetric(), HiddenTokenMetric()
    whole.update(math.log(8) * 2, 1, 2)
    other.update(math.log(8) * 2, 0, 2)
    whole.counts += other.counts
    assert whole.result() == {"perplexity": pytest.approx(8.0), "accuracy": 0.25, "hidden": 4}


def test_of_no_token_there_is_no_value():
    result = TextMetric(1.0).result()
    assert math.isnan(result["bits_per_byte"])
    assert (result["perplexity"], result["tokens"]) == (math.inf, 0)
    assert HiddenTokenMetric().result() == {"perplexity": math.inf, "accuracy": 0.0, "hidden": 0}


def test_a_perplexity_beyond_a_float_is_infinite():
    assert perplexity(1000.0) == math.inf
    assert perplexity(math.log(10)) == pytest.approx(10)
    assert bits_per_byte(math.log(2), 0.5) == pytest.approx(2)
