"""Inputs of graphs: their names, their open sizes, and examples of them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.export import Dim

from reformer.errors import ReformerError
from reformer.models import ReformerForConditionalGeneration, ReformerForForecasting, ReformerPreTrainedModel

SAMPLE = 40
"""Tokens of the sequence that is traced. It has padding, so that no graph is without a mask."""


class GraphInputs(ABC):
    """Inputs of a model's graph.

    Args:
        model: the one to export.
    """

    def __init__(self, model: ReformerPreTrainedModel) -> None:
        self.config = model.config
        self.device = model.device

    @property
    @abstractmethod
    def least(self) -> int:
        """The shortest length that a graph reads."""

    @property
    @abstractmethod
    def most(self) -> int:
        """The longest length that the model reads."""

    @property
    def traced(self) -> int:
        """The length that is traced."""
        return min(SAMPLE, self.most)

    @abstractmethod
    def example(self, length: int) -> dict[str, Tensor]:
        """Two rows of that length, half of the second one padding; the same ones for the same length."""

    @abstractmethod
    def dims(self) -> dict[str, dict[int, Any]]:
        """The open sizes of each input."""

    @abstractmethod
    def real(self, example: Mapping[str, Tensor]) -> Bool[Tensor, "batch length"] | None:
        """The tokens whose outputs count; None where each output is of a whole row."""


class TokenInputs(GraphInputs):
    """Token ids and their mask, `[batch, length]` both."""

    @property
    def least(self) -> int:
        # Shorter ones have no group of tokens to shorten.
        return self.config.shorten_stride + 1 if self.config.shortened_layers else 1

    @property
    def most(self) -> int:
        return self.config.max_position_embeddings

    def example(self, length: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(length)
        ids = torch.randint(self.config.vocab_size, (2, length), generator=generator).to(self.device)
        mask = torch.ones_like(ids)
        mask[1, (length + 1) // 2 :] = 0
        return {"input_ids": ids, "attention_mask": mask}

    def dims(self) -> dict[str, dict[int, Any]]:
        sizes = {0: Dim("batch", min=1), 1: Dim("length", min=self.least, max=self.most)}
        return {"input_ids": sizes, "attention_mask": sizes}

    def real(self, example: Mapping[str, Tensor]) -> Bool[Tensor, "batch length"] | None:
        return example["attention_mask"].bool()


class SeriesInputs(GraphInputs):
    """Values of series, `[batch, length, channels]`, with what the dates and the covariates of the model tell."""

    @property
    def least(self) -> int:
        return 1

    @property
    def most(self) -> int:
        horizon, size = self.config.prediction_length, self.config.patch_size
        return (self.config.max_position_embeddings - -(-horizon // size)) * size

    @property
    def traced(self) -> int:
        # Longer than what the linear part reads, so that no padding of it is in the graph by chance.
        return min(self.most, max(SAMPLE, self.config.linear_context + 3))

    def example(self, length: int) -> dict[str, Tensor]:
        config, generator = self.config, torch.Generator().manual_seed(length)
        batch, channels, steps = 2, 2, length + self.config.prediction_length
        values = torch.randn(batch, length, channels, generator=generator).cumsum(1)
        values[1, : length // 2] = float("nan")
        found = {"values": values}
        if config.num_time_features:
            found["time_features"] = torch.randn(batch, steps, config.num_time_features, generator=generator)
        if config.num_dynamic_real_features:
            shape = (batch, steps, channels, config.num_dynamic_real_features)
            found["feat_dynamic_real"] = torch.randn(shape, generator=generator)
        if config.dynamic_cardinalities:
            columns = [
                torch.randint(count, (batch, steps, channels), generator=generator)
                for count in config.dynamic_cardinalities
            ]
            found["feat_dynamic_cat"] = torch.stack(columns, -1)
        if config.num_static_real_features:
            shape = (batch, channels, config.num_static_real_features)
            found["feat_static_real"] = torch.randn(shape, generator=generator)
        if config.static_cardinalities:
            columns = [
                torch.randint(count, (batch, channels), generator=generator) for count in config.static_cardinalities
            ]
            found["feat_static_cat"] = torch.stack(columns, -1)
        return {name: each.to(self.device) for name, each in found.items()}

    def dims(self) -> dict[str, dict[int, Any]]:
        batch, channels = Dim("batch", min=1), Dim("channels", min=1)
        length = Dim("length", min=self.least, max=self.most)
        steps = length + self.config.prediction_length
        every: dict[str, dict[int, Any]] = {
            "values": {0: batch, 1: length, 2: channels},
            "time_features": {0: batch, 1: steps},
            "feat_dynamic_real": {0: batch, 1: steps, 2: channels},
            "feat_dynamic_cat": {0: batch, 1: steps, 2: channels},
            "feat_static_real": {0: batch, 1: channels},
            "feat_static_cat": {0: batch, 1: channels},
        }
        return {name: every[name] for name in self.example(1)}

    def real(self, example: Mapping[str, Tensor]) -> Bool[Tensor, "batch length"] | None:
        return None


def graph_inputs(model: ReformerPreTrainedModel) -> GraphInputs:
    """The inputs of the model's graph.

    Raises:
        ReformerError: there is no graph of this model; the message says why.
    """
    config, name = model.config, type(model).__name__
    if isinstance(model, ReformerForConditionalGeneration) or config.is_encoder_decoder:
        raise ReformerError(
            f"{name} has an encoder and a decoder, which writes token by token with a memory; a graph is one pass. "
            "Expected a model of one stack"
        )
    if isinstance(model, ReformerForForecasting):
        inputs: GraphInputs = SeriesInputs(model)
    elif not isinstance(model.get_input_embeddings(), nn.Embedding) or not config.vocab_size:
        raise ReformerError(f"{name} reads no token ids: expected a model with a vocabulary, or a forecaster")
    elif getattr(model, "characters", None) is not None:
        raise ReformerError(
            f"{name} with classifier_reads='characters' reads how each text's characters lie in its tokens, too, "
            'which a graph of token ids does not; train it with model.classifier_reads = "tokens"'
        )
    else:
        inputs = TokenInputs(model)
    if inputs.traced <= inputs.least:
        raise ReformerError(
            f"max_position_embeddings={config.max_position_embeddings}: the model reads at most {inputs.most}; "
            f"expected at least {inputs.least + 1}"
        )
    return inputs
