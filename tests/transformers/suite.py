"""transformers' own tests of its models, on every head: run by `python -m tests.transformers`."""

import types
import unittest
from typing import Any, ClassVar

import torch
from testers import CaptionTester, EncoderDecoderTester, ImageTester, SeriesTester, TextTester
from tests.generation.test_utils import GenerationTesterMixin
from tests.test_configuration_common import ConfigTester
from tests.test_modeling_common import ModelTesterMixin
from tests.test_pipeline_mixin import PipelineTesterMixin
from tests.test_training_mixin import TrainingTesterMixin

from reformer import models
from reformer.models.cache import ReformerCache


class Common(ModelTesterMixin):
    """transformers' tests of any model.

    Subclasses name the `head`, its `maker` and further `fields` of its configuration.
    """

    head: type[models.ReformerPreTrainedModel]
    maker: type[TextTester] = TextTester
    fields: ClassVar[dict[str, Any]] = {}
    targets: ClassVar[dict[str, tuple[int, ...]]] = {}
    """The sizes of the labels that the head is trained on, without the batch."""

    has_attentions = False
    test_can_init_all_missing_weights_before_2023 = True

    def setUp(self) -> None:
        self.all_model_classes = (self.head,)
        self.model_tester = self.maker(self, **self.fields)
        self.is_encoder_decoder = self.model_tester.get_config().is_encoder_decoder

    def _prepare_for_class(self, inputs: Any, model_class: Any, return_labels: bool = False) -> Any:
        inputs = super()._prepare_for_class(inputs, model_class)
        if return_labels:
            batch = self.model_tester.batch_size
            inputs |= {name: torch.zeros(batch, *size, dtype=torch.int64) for name, size in self.targets.items()}
        return inputs

    def test_config(self) -> None:
        """The tests of configurations."""
        ConfigTester(self, config_class=models.ReformerConfig).run_common_tests()


class Generation(GenerationTesterMixin):
    """transformers' tests of `generate`, which ask for overrides where a model differs."""

    def _check_hidden_states_for_generate(self, *args: Any, config: Any, **kwargs: Any) -> None:
        super()._check_hidden_states_for_generate(*args, config=_as_wide_as_streams(config), **kwargs)

    def _check_encoder_hidden_states_for_generate(self, *args: Any, config: Any, **kwargs: Any) -> None:
        super()._check_encoder_hidden_states_for_generate(*args, config=_as_wide_as_streams(config), **kwargs)

    def _check_past_key_values_for_generate(
        self, batch_size: int, past_key_values: Any, seq_length: int, config: Any
    ) -> None:
        assert isinstance(past_key_values, ReformerCache)
        assert (batch_size, seq_length) == (past_key_values.batch_size, past_key_values.get_seq_length())


def _as_wide_as_streams(config: Any) -> Any:
    """A configuration that says how wide hidden states are: all residual streams side by side."""
    return types.SimpleNamespace(**vars(config) | {"hidden_size": config.output_size})


class TestModel(Common, unittest.TestCase):
    head = models.ReformerModel


class TestCausalModel(Common, unittest.TestCase):
    head, fields = models.ReformerModel, {"is_decoder": True}


class TestCausalLM(Common, Generation, TrainingTesterMixin, PipelineTesterMixin, unittest.TestCase):
    head, fields = models.ReformerForCausalLM, {"is_decoder": True}
    targets: ClassVar = {"labels": (TextTester.seq_length,)}
    pipeline_model_mapping: ClassVar = {"text-generation": head}


class TestMaskedLM(Common, TrainingTesterMixin, PipelineTesterMixin, unittest.TestCase):
    head = models.ReformerForMaskedLM
    targets: ClassVar = {"labels": (TextTester.seq_length,)}
    pipeline_model_mapping: ClassVar = {"fill-mask": head}


class TestTokenClassification(Common, PipelineTesterMixin, unittest.TestCase):
    head = models.ReformerForTokenClassification
    targets: ClassVar = {"labels": (TextTester.seq_length,)}
    pipeline_model_mapping: ClassVar = {"token-classification": head}


class TestSequenceClassification(Common, PipelineTesterMixin, unittest.TestCase):
    head = models.ReformerForSequenceClassification
    targets: ClassVar = {"labels": ()}
    pipeline_model_mapping: ClassVar = {"text-classification": head, "zero-shot": head}


class TestQuestionAnswering(Common, unittest.TestCase):
    head = models.ReformerForQuestionAnswering
    targets: ClassVar = {"start_positions": (), "end_positions": ()}


class TestEncoderDecoder(Common, Generation, unittest.TestCase):
    head, maker = models.ReformerForConditionalGeneration, EncoderDecoderTester
    fields: ClassVar = {
        "is_encoder_decoder": True,
        "decoder_start_token_id": 1,
        "cross_attention_layers": ["full", "lsh"],
    }
    targets: ClassVar = {"labels": (TextTester.seq_length,)}


class TestImageClassification(Common, unittest.TestCase):
    head, maker = models.ReformerForImageClassification, ImageTester
    fields: ClassVar = {"vocab_size": 0}
    targets: ClassVar = {"labels": ()}


class TestImageToText(Common, Generation, unittest.TestCase):
    head, maker = models.ReformerForImageToText, CaptionTester
    fields: ClassVar = {"is_encoder_decoder": True, "decoder_start_token_id": 1}
    targets: ClassVar = {"labels": (CaptionTester.decoder_seq_length,)}


class TestForecasting(Common, unittest.TestCase):
    head, maker = models.ReformerForForecasting, SeriesTester
    fields: ClassVar = {"vocab_size": 0, "patch_size": 4, "prediction_length": 4}

    def _prepare_for_class(self, inputs: Any, model_class: Any, return_labels: bool = False) -> Any:
        inputs = super()._prepare_for_class(inputs, model_class)
        if return_labels:
            inputs["labels"] = torch.ones(SeriesTester.batch_size, 4, SeriesTester.channels)
        return inputs
