"""A model whose rows cannot be divided is refused, and what in it must have whole rows is named."""

import pytest
import torch
from torch import nn

from reformer.models import ReformerConfig, ReformerForForecasting, ReformerForImageClassification
from reformer.nn import FeedForward, Layer
from reformer.parallel import parallelize, whole_rows
from reformer.parallel.parallelize import check
from tests.contract.models import HEADS


class OwnLayer(Layer):
    """A layer that does not say that a part of the rows is enough for it."""


@pytest.mark.parametrize(
    ("head", "variant", "options", "words"),
    [
        ("causal-lm", "fourier", {}, '"fourier" among attention_layers'),
        ("causal-lm", "hourglass", {}, "shortened_layers"),
        ("sequence-classification", "local", {"classifier_pooling": "fusion"}, "classifier_pooling='fusion'"),
        ("token-classification", "local", {"classifier_reads": "characters"}, "classifier_reads='characters'"),
        ("encoder-decoder", "local", {}, "cross attention"),
    ],
)
def test_what_must_have_whole_rows_is_named(head, variant, options, words):
    model = HEADS[head].build(variant, **options)
    with pytest.raises(ValueError, match="cannot be divided between 2 processes") as refused:
        check(model, 2)
    assert words in str(refused.value)
    # One process has whole rows.
    check(model, 1)


@pytest.mark.parametrize("head", [ReformerForForecasting, ReformerForImageClassification])
def test_heads_of_numbers_and_pictures_are_refused(head):
    model = head(ReformerConfig(vocab_size=0, hidden_size=16, num_attention_heads=2, attention_head_size=8))
    with pytest.raises(ValueError, match=head.__name__):
        check(model, 2)


def test_a_layer_that_says_nothing_is_refused():
    model = HEADS["causal-lm"].build("local")
    model.reformer.encoder.sublayers[0].function = OwnLayer()
    with pytest.raises(ValueError, match="OwnLayer does not say that a part of the rows is enough"):
        check(model, 2)
    assert FeedForward(4, 8).why_whole() is None


def test_more_processes_than_heads_are_refused():
    check(HEADS["causal-lm"].build("local"), 2)
    with pytest.raises(ValueError, match="2 heads for 3 processes, each of which computes whole rows"):
        check(HEADS["causal-lm"].build("local"), 3)


def test_a_module_without_a_model_of_this_package_is_refused():
    for change in (parallelize, whole_rows):
        with pytest.raises(ValueError, match="Linear has no model of this package"):
            change(nn.Linear(2, 2))


def test_without_processes_there_is_no_group():
    with pytest.raises(ValueError, match="init_process_group"):
        parallelize(HEADS["causal-lm"].build("local"), torch.distributed.group.WORLD)
