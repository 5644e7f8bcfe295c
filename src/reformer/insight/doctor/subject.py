"""Models under examination: what they read, made up from their configuration, and what they answer."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from reformer.errors import ReformerError
from reformer.models import (
    ReformerForForecasting,
    ReformerForImageClassification,
    ReformerForImageToText,
    ReformerModel,
    ReformerPreTrainedModel,
)

TARGET = 17
"""Tokens that an encoder-decoder is given to write."""

Inputs = dict[str, Tensor]
"""Arguments of a call by their names, the batch in front."""


@dataclass(frozen=True)
class Size:
    """Size of an input, and the seed that its numbers are drawn with."""

    batch: int
    length: int
    seed: int = 0

    def generator(self) -> torch.Generator:
        """A generator of its own, so that the global one stays as it is."""
        return torch.Generator().manual_seed(1 + 1009 * self.seed + 31 * self.length + self.batch)


class Subject(ABC):
    """A model in evaluation mode, with inputs of any size.

    Args:
        model: the model, in float32.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = cast(Any, model.eval())
        self.config: Any = model.config
        self._as_given = copy.deepcopy(model)

    def fresh(self) -> Self:
        """The model as it was given, before any call, in the precision of now."""
        return type(self)(copy.deepcopy(self._as_given).to(self.model.dtype))

    @property
    @abstractmethod
    def longest(self) -> int:
        """The most tokens that it reads."""

    @abstractmethod
    def draw(self, size: Size) -> Inputs:
        """Made-up inputs without padding."""

    @abstractmethod
    def padded(self, inputs: Inputs, count: int, side: str) -> Inputs | None:
        """The inputs with so much padding on the `left` or the `right`; None where there is none on that side."""

    @abstractmethod
    def edited(self, inputs: Inputs, first: int, size: Size) -> Inputs | None:
        """The inputs with others in place of those from `first` on, of which no output before may know; None where
        every output knows all inputs."""

    @property
    @abstractmethod
    def is_causal(self) -> bool:
        """Whether outputs depend on what came before alone."""

    @property
    def is_own(self) -> bool:
        """Whether the model is of this package."""
        return isinstance(self.model, ReformerPreTrainedModel)

    @property
    def stacks(self) -> list[ReformerModel]:
        """The model's stacks of layers, where it is of this package."""
        return [module for module in self.model.modules() if isinstance(module, ReformerModel)]

    def outputs(self, inputs: Mapping[str, Any], **options: Any) -> Tensor:
        """The answer of a model of any kind as one tensor, `[batch, length, ...]` where there is one for each token."""
        return answer_of(self.model(**inputs, **options))

    @torch.no_grad()
    def answers(self, inputs: Mapping[str, Any], **options: Any) -> Tensor:
        """`outputs` without gradients."""
        return self.outputs(inputs, **options)

    def loss(self, inputs: Mapping[str, Any]) -> Tensor:
        """A number in which each output counts otherwise, and whose gradient depends on every part of the model."""
        found = self.outputs(inputs)
        # Where an output stands for nothing, it is infinite.
        kept = found.masked_fill(~found.isfinite(), 0)
        numbers = torch.arange(kept.numel(), dtype=kept.dtype, device=kept.device).view_as(kept)
        return (kept * (0.37 * numbers).sin()).sum() / kept.numel() ** 0.5

    def by_token(self, found: Tensor, inputs: Inputs) -> bool:
        """Whether there is an output for each token of the inputs."""
        return found.dim() > 2 and found.shape[1] == self.length(inputs)

    def length(self, inputs: Inputs) -> int:
        """The number of tokens of the inputs."""
        return next(iter(inputs.values())).shape[1]

    @contextmanager
    def precision(self, dtype: torch.dtype) -> Iterator[None]:
        """The model in another precision; float32 numbers come back from float64 as they were."""
        before = self.model.dtype
        self.model.to(dtype)
        try:
            yield
        finally:
            self.model.to(before)

    @contextmanager
    def training(self) -> Iterator[None]:
        """The model in training mode, its gradients removed afterwards, and the random state put back."""
        with torch.random.fork_rng(devices=[]):
            self.model.train()
            try:
                yield
            finally:
                self.model.zero_grad(set_to_none=True)
                self.model.eval()


class TokenSubject(Subject):
    """A model of token ids, an encoder-decoder among them."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__(model)
        table = model.get_input_embeddings()
        self.vocabulary = table.num_embeddings if isinstance(table, nn.Embedding) else int(self.config.vocab_size)
        special = (
            getattr(self.config, f"{name}_token_id", None) for name in ("pad", "bos", "eos", "sep", "cls", "mask")
        )
        kept = {each for found in special for each in (found if isinstance(found, list) else [found])}
        # A model may treat some of its tokens in a way of their own.
        ordinary = [number for number in range(min(self.vocabulary, 1000)) if number not in kept]
        if len(ordinary) < 2:
            raise ReformerError(f"{type(model).__name__} knows {self.vocabulary} tokens; expected two ordinary ones")
        self.ordinary = torch.tensor(ordinary)

    @property
    def longest(self) -> int:
        found = getattr(self.config, "max_position_embeddings", None)
        return 1 << 20 if found is None else int(found)

    @property
    def is_causal(self) -> bool:
        if self.config.is_encoder_decoder:
            return True
        return bool(getattr(self.config, "is_decoder", False)) or self.model.can_generate()

    def draw(self, size: Size) -> Inputs:
        generator = size.generator()
        ids = self._ids((size.batch, size.length), generator)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if self.config.is_encoder_decoder:
            inputs["decoder_input_ids"] = self._ids((size.batch, TARGET), generator)
        return inputs

    def by_token(self, found: Tensor, inputs: Inputs) -> bool:
        # An encoder-decoder answers for what it writes.
        return not self.config.is_encoder_decoder and super().by_token(found, inputs)

    def loss(self, inputs: Mapping[str, Any]) -> Tensor:
        if getattr(self.model, "transitions", None) is None:
            return super().loss(inputs)
        # The probabilities of a conditional random field have no gradient: it is its own loss that has one.
        return self.model(**inputs, labels=inputs["input_ids"] % self.config.num_labels).loss

    def padded(self, inputs: Inputs, count: int, side: str) -> Inputs | None:
        amounts = (count, 0) if side == "left" else (0, count)
        pad = getattr(self.config, "pad_token_id", None)
        filler = pad if isinstance(pad, int) and 0 <= pad < self.vocabulary else 0
        ids = nn.functional.pad(inputs["input_ids"], amounts, value=filler)
        mask = nn.functional.pad(inputs["attention_mask"], amounts)
        return inputs | {"input_ids": ids, "attention_mask": mask}

    def edited(self, inputs: Inputs, first: int, size: Size) -> Inputs | None:
        name = "decoder_input_ids" if self.config.is_encoder_decoder else "input_ids"
        ids = inputs[name].clone()
        generator = Size(size.batch, size.length, size.seed + 7919).generator()
        others = self._ids(tuple(ids[:, first:].shape), generator)
        # Each is another one than it was.
        beside = self.ordinary[
            (torch.searchsorted(self.ordinary, ids[:, first:].contiguous()) + 1) % len(self.ordinary)
        ]
        ids[:, first:] = torch.where(others == ids[:, first:], beside, others)
        return inputs | {name: ids}

    def _ids(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return self.ordinary[torch.randint(len(self.ordinary), shape, generator=generator)]


class SeriesSubject(Subject):
    """A forecaster of this package: two channels, of which NaNs on the left are the padding."""

    @property
    def longest(self) -> int:
        horizon, size = self.config.prediction_length, self.config.patch_size
        return (self.config.max_position_embeddings - -(-horizon // size)) * size

    @property
    def is_causal(self) -> bool:
        return False

    def draw(self, size: Size) -> Inputs:
        config, generator, channels = self.config, size.generator(), 2
        steps = size.length + config.prediction_length
        inputs = {"values": torch.randn(size.batch, size.length, channels, generator=generator).cumsum(1)}
        numbers = {
            "time_features": (config.num_time_features, (size.batch, steps)),
            "feat_dynamic_real": (config.num_dynamic_real_features, (size.batch, steps, channels)),
            "feat_static_real": (config.num_static_real_features, (size.batch, channels)),
        }
        for name, (count, places) in numbers.items():
            if count:
                inputs[name] = torch.randn(*places, count, generator=generator)
        categories = {
            "feat_dynamic_cat": (config.dynamic_cardinalities, (size.batch, steps, channels)),
            "feat_static_cat": (config.static_cardinalities, (size.batch, channels)),
        }
        for name, (counts, places) in categories.items():
            if counts:
                columns = [torch.randint(count, places, generator=generator) for count in counts]
                inputs[name] = torch.stack(columns, -1)
        return {name: each.to(self.model.dtype) if each.is_floating_point() else each for name, each in inputs.items()}

    def padded(self, inputs: Inputs, count: int, side: str) -> Inputs | None:
        if side != "left":
            return None
        found = dict(inputs)
        for name, each in inputs.items():
            if name == "values":
                found[name] = nn.functional.pad(each, (0, 0, count, 0), value=float("nan"))
            elif name in ("time_features", "feat_dynamic_real", "feat_dynamic_cat"):
                found[name] = nn.functional.pad(each, (*(0, 0) * (each.dim() - 2), count, 0))
        return found

    def edited(self, inputs: Inputs, first: int, size: Size) -> Inputs | None:
        return None

    def by_token(self, found: Tensor, inputs: Inputs) -> bool:
        return False


def subject_of(model: PreTrainedModel) -> Subject:
    """The model with inputs of its kind.

    Raises:
        ReformerError: it reads neither tokens nor series.
    """
    if isinstance(model, ReformerForForecasting):
        return SeriesSubject(model)
    if isinstance(model, ReformerForImageClassification | ReformerForImageToText):
        raise ReformerError(f"{type(model).__name__} reads images; expected a model that reads tokens or series")
    if getattr(model, "characters", None) is not None:
        raise ReformerError(
            f"{type(model).__name__} with classifier_reads='characters' reads how characters lie in tokens, too; "
            "expected a model that reads tokens alone"
        )
    if not getattr(model.config, "vocab_size", 0) or not isinstance(model.get_input_embeddings(), nn.Embedding):
        raise ReformerError(f"{type(model).__name__} has no embeddings of tokens; expected a model that reads tokens")
    return TokenSubject(model)


ANSWERS: tuple[Callable[[Any], Tensor | None], ...] = (
    lambda found: found.get("quantiles"),
    lambda found: found.get("prediction"),
    lambda found: found.get("logits"),
    lambda found: torch.stack((found["start_logits"], found["end_logits"]), -1) if "start_logits" in found else None,
    lambda found: found.get("last_hidden_state"),
)
"""What the answer is in outputs of each kind."""


def answer_of(found: Any) -> Tensor:
    """The answer among a model's outputs."""
    for answer in ANSWERS:
        tensor = answer(found)
        if tensor is not None:
            return tensor
    raise ReformerError(
        f"the outputs {', '.join(found)} have none that is known: expected logits, start_logits and end_logits, "
        "prediction or last_hidden_state"
    )
