"""Head for forecasting: the next steps of a series, from its past, the calendar and covariates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers.utils.generic import ModelOutput

from reformer.models.arguments import check_unused
from reformer.models.configuration import ReformerConfig
from reformer.models.heads.base import Head
from reformer.nn import CovariateFeatures
from reformer.nn.channels import Channels, StreamChannels
from reformer.ops import gpu, standard

ROUNDING = 8
"""Roundings of the mean: a deviation below so many is none."""


@dataclass
class ForecastOutput(ModelOutput):
    """Output of a forecaster.

    Args:
        loss: the mean over all labels that are known, in units of each series' own spread.
        prediction: `[batch, horizon, channels]`, the median where there are quantiles, else the mean.
        quantiles: `[batch, horizon, channels, quantiles]` in rising order, or None.
        hidden_states: `[batch * channels, tokens, streams]` before the first layer and after each, see
            `ReformerModel`; the tokens are the patches of the past and of the horizon.
    """

    loss: Tensor | None = None
    prediction: Tensor | None = None
    quantiles: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


class ReformerForForecasting(Head):
    """Forecaster of the next `prediction_length` steps of every channel of a series.

    Each channel is a series of its own, which all go through the same weights. It is scaled by the mean and the
    spread of what was observed (Kim et al. 2022) in the last `linear_context` steps, if that is given. `patch_size`
    steps make a token (Nie et al. 2023), and the horizon is more tokens, whose values are missing and whose dates are
    known, and so are its covariates (a price, a holiday), each channel's own; what is known of a channel as a whole is
    told to every token. With `linear_context` a linear map of the last steps (Zeng et al. 2023) is where the forecast
    begins, and the layers add to it. Equations (40) to (42).

    Values are scaled, and forecasts are scaled back, in the precision in which they come, and only between is it that
    of the weights: give float64 where a series is large beside its changes.

    A value that is NaN was not observed. What lies before the first observation of a channel is not there at all, so
    NaNs on the left are the padding of shorter series, and change nothing.

    Raises:
        ValueError: a configuration with a vocabulary.
    """

    main_input_name = "values"
    reads = ("embed", "dynamic", "static")
    smooths = False
    # transformers' Trainer would count missing labels (NaN) as items; ours asks `count_items`.
    accepts_loss_kwargs = False

    stream_channels: ClassVar[StreamChannels] = {"forecast.weight": {1: Channels.SUMMED}}
    embedding_channels: ClassVar[StreamChannels] = {
        "embed.weight": {0: Channels.EACH},
        "embed.bias": {0: Channels.EACH},
    }

    __call__: Callable[..., ForecastOutput]

    def __init__(self, config: ReformerConfig) -> None:
        if config.vocab_size:
            raise ValueError(f"vocab_size={config.vocab_size}: a forecaster reads numbers, not tokens; set it to 0")
        super().__init__(config)
        size = config.patch_size
        self.dynamic = CovariateFeatures(config.num_dynamic_real_features, config.dynamic_cardinalities)
        self.static = CovariateFeatures(config.num_static_real_features, config.static_cardinalities)
        told = config.num_time_features + self.dynamic.width
        self.embed = nn.Linear(size * (2 + told) + self.static.width, config.embedding_width)
        self.forecast = nn.Linear(config.output_size, size * max(1, len(config.quantiles)))
        self.linear = nn.Linear(config.linear_context, config.prediction_length) if config.linear_context else None
        self.post_init()

    def forward(
        self,
        values: Float[Tensor, "batch length channels"],
        time_features: Float[Tensor, "batch steps features"] | None = None,
        labels: Float[Tensor, "batch horizon channels"] | None = None,
        feat_dynamic_real: Float[Tensor, "batch steps channels numbers"] | None = None,
        feat_dynamic_cat: Int[Tensor, "batch steps channels columns"] | None = None,
        feat_static_real: Float[Tensor, "batch channels static_numbers"] | None = None,
        feat_static_cat: Int[Tensor, "batch channels static_columns"] | None = None,
        num_items_in_batch: Tensor | int | None = None,
        num_rounds: int | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> ForecastOutput:
        """Forecast.

        Args:
            values: what was observed, NaN where nothing was.
            time_features: numbers told by the dates of these steps and of the horizon's, `length + horizon` of them.
            labels: what came then, NaN where nobody knows; with them there is a loss: the quantiles' (pinball) loss,
                or the squared error where there are no quantiles.
            feat_dynamic_real: numbers that are known of these steps and of the horizon's, each about 1 in size, NaN
                where one is not; GluonTS has these names.
            feat_dynamic_cat: categories of the same steps, 0 where there is none.
            feat_static_real: numbers that are known of each channel, NaN where one is not.
            feat_static_cat: categories of each channel.
            num_items_in_batch: what the sum of the losses is divided by, in place of how many labels are known.
            num_rounds: of hashing, for this call.
            output_hidden_states: give the streams after each layer.
            return_dict: False for a plain tuple.

        Raises:
            ValueError: an input of another shape, or one that is missing or not expected.
        """
        self._check(values, time_features, labels)
        self._check_covariates(values, feat_dynamic_real, feat_dynamic_cat, feat_static_real, feat_static_cat)
        batch, _, channels = values.shape
        horizon = self.config.prediction_length
        series = values.transpose(1, 2).flatten(0, 1)
        observed = series.isfinite()
        scale = _Scale.of(series, _recently(observed, self.config.linear_context))
        scaled = scale.apply(series).where(observed, 0).to(self.embed.weight.dtype)
        told = []
        if time_features is not None:
            # The same dates for every channel. Not by `repeat_interleave`, of which ONNX graphs make as many rows as
            # there were when they were traced.
            told.append(time_features[:, None].expand(-1, channels, -1, -1).flatten(0, 1).to(scaled.dtype))
        if self.dynamic.width:
            told.append(
                self.dynamic(feat_dynamic_real, feat_dynamic_cat).transpose(1, 2).flatten(0, 1).to(scaled.dtype)
            )
        static = None
        if self.static.width:
            static = self.static(feat_static_real, feat_static_cat).flatten(0, 1).to(scaled.dtype)
        tokens, present = self._tokens(scaled, observed, told, static)
        check_unused(type(self).__name__, kwargs)
        hidden, states = self._encode(None, present, tokens, num_rounds, {"output_hidden_states": output_hidden_states})
        # Floor division of a negative number: the last tokens, rounded up so that they cover the horizon.
        future = self.forecast(hidden[:, -horizon // self.config.patch_size :])
        found = future.unflatten(-1, (self.config.patch_size, -1)).flatten(1, 2)[:, :horizon]
        if self.linear is not None:
            found = found + self.linear(self._recent(scaled))[..., None]
        found = found.to(series.dtype)
        loss = None
        if labels is not None:
            loss = self._loss(found, scale.apply(labels.transpose(1, 2).flatten(0, 1)), num_items_in_batch)
        found = scale.undo(found).unflatten(0, (batch, channels)).transpose(1, 2)
        if not self.config.quantiles:
            output = ForecastOutput(loss=loss, prediction=found[..., 0], hidden_states=states)
            return self._answer(output, return_dict)
        # Quantiles are learned independently and may cross; sorting them never increases their loss.
        found = found.sort(-1).values
        median = found[..., list(self.config.quantiles).index(0.5)]
        output = ForecastOutput(loss=loss, prediction=median, quantiles=found, hidden_states=states)
        return self._answer(output, return_dict)

    @staticmethod
    def count_items(batch: Mapping[str, Tensor]) -> Int[Tensor, ""]:
        """How many losses the loss of a batch is the mean of: those of the labels that are known."""
        return batch["labels"].isfinite().sum()

    def scaled(
        self, values: Float[Tensor, "batch length channels"], labels: Float[Tensor, "batch horizon channels"]
    ) -> tuple[Float[Tensor, "series last"], Float[Tensor, "series horizon"]]:
        """Inputs and targets of the linear part, for each channel; NaN where a target is not known."""
        series = values.transpose(1, 2).flatten(0, 1)
        observed = series.isfinite()
        scale = _Scale.of(series, _recently(observed, self.config.linear_context))
        expected = scale.apply(labels.transpose(1, 2).flatten(0, 1))
        inputs, dtype = scale.apply(series).where(observed, 0), self.embed.weight.dtype
        return self._recent(inputs).to(dtype), expected.to(dtype)

    def _recent(self, scaled: Float[Tensor, "series length"]) -> Float[Tensor, "series last"]:
        last = self.config.linear_context
        if standard.is_traced():
            # The same, without a branch on the length.
            return nn.functional.pad(scaled, (last, 0))[:, -last:]
        return nn.functional.pad(scaled, (max(0, last - scaled.shape[1]), 0))[:, -last:]

    def _tokens(
        self,
        scaled: Float[Tensor, "series length"],
        observed: Bool[Tensor, "series length"],
        told: Sequence[Float[Tensor, "series steps _"]],
        static: Float[Tensor, "series features"] | None,
    ) -> tuple[Float[Tensor, "series tokens hidden"], Bool[Tensor, "series tokens"]]:
        """The patches of the past and of the horizon as vectors, and which of them are there."""
        size, horizon = self.config.patch_size, self.config.prediction_length
        # Patches are counted from the last observation on, in both directions.
        behind = -horizon % size
        begun = nn.functional.pad(observed.cumsum(-1) > 0, (0, horizon), value=True)
        parts = [nn.functional.pad(part, (0, horizon)) for part in (scaled, observed.to(scaled.dtype))]
        steps = torch.stack(parts, -1)
        steps = torch.cat((steps, *(each * begun[..., None] for each in told)), -1)
        present = _patches(nn.functional.pad(begun, (0, behind))[..., None].to(scaled.dtype), size)[..., 0].amax(-1) > 0
        patches = _patches(nn.functional.pad(steps, (0, 0, 0, behind)), size).flatten(2)
        if static is not None:
            patches = torch.cat((patches, static[:, None].expand(-1, patches.shape[1], -1)), -1)
        return self.embed(patches), present

    def _loss(
        self,
        found: Float[Tensor, "series horizon quantiles"],
        expected: Float[Tensor, "series horizon"],
        num_items_in_batch: Tensor | int | None,
    ) -> Float[Tensor, ""]:
        known = expected.isfinite()
        error = expected.where(known, 0)[..., None] - found
        if not self.config.quantiles:
            losses = error.square()
        else:
            levels = error.new_tensor(self.config.quantiles)
            losses = torch.maximum(levels * error, (levels - 1) * error)
        count = known.sum().clamp_min(1) if num_items_in_batch is None else num_items_in_batch
        return (losses.mean(-1) * known).sum() / count

    def _check_covariates(
        self,
        values: Tensor,
        dynamic_real: Tensor | None,
        dynamic_cat: Tensor | None,
        static_real: Tensor | None,
        static_cat: Tensor | None,
    ) -> None:
        config, (batch, length, channels) = self.config, values.shape
        steps = (batch, length + config.prediction_length, channels)
        expected = (
            ("feat_dynamic_real", dynamic_real, config.num_dynamic_real_features, steps, None),
            ("feat_dynamic_cat", dynamic_cat, len(config.dynamic_cardinalities), steps, config.dynamic_cardinalities),
            ("feat_static_real", static_real, config.num_static_real_features, (batch, channels), None),
            (
                "feat_static_cat",
                static_cat,
                len(config.static_cardinalities),
                (batch, channels),
                config.static_cardinalities,
            ),
        )
        for name, given, columns, places, cardinalities in expected:
            if (given is None) != (columns == 0):
                told = "is not given" if given is None else "is given"
                raise ValueError(f"the model has learned {columns} columns of {name}, and {name} {told}")
            if given is None:
                continue
            if given.shape != (*places, columns) or given.is_floating_point() != (cardinalities is None):
                kind = "numbers" if cardinalities is None else "whole numbers"
                raise ValueError(
                    f"{name} has shape {tuple(given.shape)} and is {given.dtype}, expected {kind} {(*places, columns)}"
                )
            # While a graph is traced, no branch may depend on values.
            if cardinalities is None or gpu.is_capturing():
                continue
            if ((given < 0) | (given >= given.new_tensor(list(cardinalities)))).any():
                raise ValueError(f"{name} has categories outside of 0 and {list(cardinalities)}; expected lower ones")

    def _check(self, values: Tensor, time_features: Tensor | None, labels: Tensor | None) -> None:
        if values.dim() != 3 or not values.shape[1] or not values.is_floating_point():
            raise ValueError(
                f"values have shape {tuple(values.shape)} and are {values.dtype}, expected numbers [batch, length, "
                "channels], NaN where nothing was observed"
            )
        batch, length, channels = values.shape
        features, horizon = self.config.num_time_features, self.config.prediction_length
        if (time_features is None) != (features == 0):
            told = "are given" if features == 0 else "are not given"
            raise ValueError(f"num_time_features={features}, and time_features {told}")
        if time_features is not None and time_features.shape != (batch, length + horizon, features):
            raise ValueError(
                f"time_features have shape {tuple(time_features.shape)}, expected "
                f"{(batch, length + horizon, features)}: of the steps that are known and of those to predict"
            )
        if labels is not None and labels.shape != (batch, horizon, channels):
            raise ValueError(f"labels have shape {tuple(labels.shape)}, expected {(batch, horizon, channels)}")


def _power_of_two(peak: Float[Tensor, "series 1"]) -> Float[Tensor, "series 1"]:
    """A power of two about as large as each peak, in float64: dividing by it rounds nothing. Not the next greater one,
    which could be infinite."""
    if standard.is_wanted():
        # Other runtimes split no number into mantissa and exponent. Just below a power of two this may be that one.
        return 2.0 ** peak.double().log2().floor()
    return peak.double() / (2 * torch.frexp(peak.double()).mantissa)


def _patches(
    steps: Float[Tensor, "series steps features"], size: int
) -> Float[Tensor, "series patches {size} features"]:
    """The steps in groups of so many, with zeros before the first where it is not whole."""
    length = steps.shape[1]
    if not standard.is_traced():
        return nn.functional.pad(steps, (0, 0, -length % size, 0)).unflatten(1, (-1, size))
    # Whoever traces cannot see that a padded length is a multiple of the size.
    count = (length + size - 1) // size
    places = torch.arange(count * size, device=steps.device) - (count * size - length)
    found = steps[:, places.clamp_min(0)].masked_fill((places < 0)[:, None], 0)
    return found.unflatten(1, (count, size))


def _recently(observed: Bool[Tensor, "series length"], last: int) -> Bool[Tensor, "series length"]:
    """Mask of the observations in the last steps, since a series drifts; with 0, or without any there: of all."""
    length = observed.shape[1]
    recent = observed & (torch.arange(length, device=observed.device) >= length - (last or length))
    return recent | (observed & ~recent.any(-1, keepdim=True))


@dataclass(frozen=True)
class _Scale:
    """Mean and standard deviation of each series, both in a unit that its squares do not overflow or vanish in."""

    unit: Float[Tensor, "series 1"]
    centre: Float[Tensor, "series 1"]
    spread: Float[Tensor, "series 1"]

    @classmethod
    def of(cls, series: Float[Tensor, "series length"], observed: Bool[Tensor, "series length"]) -> Self:
        """The scale of what was observed; the deviation of a constant series is taken for 1."""
        peak = series.where(observed, 0).abs().amax(-1, keepdim=True)
        unit = _power_of_two(peak).where(peak > 0, 1).to(series.dtype)
        series = series / unit
        count = observed.sum(-1, keepdim=True).clamp_min(1)
        centre = series.where(observed, 0).sum(-1, keepdim=True) / count
        spread = ((series - centre).where(observed, 0).square().sum(-1, keepdim=True) / count).sqrt()
        # Rounding leaves a tiny deviation where all values are equal, and division by it would blow the series up.
        rounding = ROUNDING * torch.finfo(series.dtype).eps * centre.abs()
        return cls(unit, centre, spread.where(spread > rounding, 1 / unit))

    def apply(self, series: Float[Tensor, "series length"]) -> Float[Tensor, "series length"]:
        """The series in deviations from the mean."""
        return (series / self.unit - self.centre) / self.spread

    def undo(self, scaled: Float[Tensor, "series length quantiles"]) -> Float[Tensor, "series length quantiles"]:
        """Forecasts in the series' own numbers."""
        return (scaled * self.spread[..., None] + self.centre[..., None]) * self.unit[..., None]
