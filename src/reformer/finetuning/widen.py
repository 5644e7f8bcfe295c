"""A trained model made wider, that is at first the same function."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from reformer.finetuning.errors import FinetuningError
from reformer.finetuning.layers import rebuilt
from reformer.models import (
    ReformerConfig,
    ReformerForForecasting,
    ReformerForImageClassification,
    ReformerForImageToText,
    ReformerForQuestionAnswering,
    ReformerForSequenceClassification,
    ReformerForTokenClassification,
    ReformerModel,
)
from reformer.models.heads import LanguageModel
from reformer.nn import (
    Attention,
    AxialPositions,
    Bottleneck,
    CirculantLinear,
    FeedForward,
    FourierConvolution,
    FusionPooling,
    Hourglass,
    LearnedPositions,
    NgramEmbedding,
    SeparableConvolution,
    SinusoidalPositions,
)
from reformer.nn.sublayer import SubLayer


def widen(model: PreTrainedModel, hidden_size: int) -> PreTrainedModel:
    """A model of a greater hidden width, a multiple of the trained one's, with the same outputs.

    Every channel is there several times, side by side, so the mean and the variance of a token's channels are what they
    were, and each layer norm gives what it gave. Whatever writes to the streams writes each channel as often; whatever
    reads them spreads each weight at random over the copies (`docs/math.md`, equation 43). Since the shares differ, so
    do the copies' gradients, and training tells them apart. Heads, their widths and inner widths stay. Source: Chen,
    Goodfellow and Shlens 2016 (Net2Net), for streams that pass through layer norms.

    Args:
        model: the trained model, which is left as it is.
        hidden_size: the new width. The shares are drawn from PyTorch's global generator.

    Raises:
        FinetuningError: the width is no multiple of the trained one, or there is a part whose channels cannot be there
            twice: sinusoidal positions, circulant blocks, a fusion pooling, shortened layers.
    """
    config = model.config
    times, rest = divmod(hidden_size, config.hidden_size)
    if rest or times < 1:
        raise FinetuningError(
            f"hidden_size={hidden_size}: expected a multiple of the trained model's {config.hidden_size}, since only "
            "whole copies of all channels leave mean and variance as they are"
        )
    for module in model.modules():
        for kind, why in REFUSED.items():
            if isinstance(module, kind):
                raise FinetuningError(f"{why}; a model with them cannot be widened")
    projected = config.embedding_width != config.hidden_size
    if projected and config.embedding_size == hidden_size:
        raise FinetuningError(
            f"hidden_size={hidden_size} is the trained embedding_size, and embeddings as wide as the model have no "
            "projection to take the trained one over; choose another width"
        )
    widths = config.axial_pos_embds_dim
    with torch.no_grad():
        wider = rebuilt(
            model,
            hidden_size=hidden_size,
            embedding_size=config.embedding_size if projected else None,
            axial_pos_embds_dim=widths and [width * times for width in widths],
        )
        trained, ways = model.state_dict(), _ways(wider)
        for name, weight in wider.state_dict().items():
            if name not in ways and weight.shape != trained[name].shape:
                raise FinetuningError(f"{name}: how this weight would grow is not known, so the model cannot be wider")
            weight.copy_(_grown(trained[name], ways.get(name, {}), times))
    return wider


REFUSED: dict[type[nn.Module], str] = {
    SinusoidalPositions: "position_embedding_type='sinusoidal': the channels of these positions are all different",
    CirculantLinear: "feed_forward_linear='circulant': a circulant block ties several channels to each other",
    FusionPooling: "classifier_pooling='fusion': its steps mix the channels of several tokens",
    Hourglass: "shortened_layers: the joints that shorten the sequence mix the channels of several tokens",
}
"""By module, why its channels cannot be copied."""


def _copied(weight: Tensor, dim: int, times: int) -> Tensor:
    return weight.repeat_interleave(times, dim)


def _spread(weight: Tensor, dim: int, times: int) -> Tensor:
    """Random shares of each weight, which add up to it."""
    shares = torch.rand(*weight.shape, times, dtype=weight.dtype, device=weight.device) + 0.5
    shares = shares / shares.sum(-1, keepdim=True) * weight[..., None]
    dim %= weight.dim()
    return shares.movedim(-1, dim + 1).flatten(dim, dim + 1)


def _divided(weight: Tensor, dim: int, times: int) -> Tensor:
    return _copied(weight, dim, times) / times


Way = dict[int, Callable[[Tensor, int, int], Tensor]]
"""By the dimension that holds channels, how it grows."""

WAYS: dict[type[nn.Module], dict[str, Way]] = {
    ReformerModel: {
        "embedding_projection.weight": {0: _copied},
        "norm.weight": {0: _copied},
        "norm.bias": {0: _copied},
    },
    AxialPositions: {"weights.": {-1: _copied}},
    LearnedPositions: {"table.weight": {1: _copied}},
    NgramEmbedding: {"projection.weight": {0: _copied}},
    SubLayer: {"norm.weight": {0: _copied}, "norm.bias": {0: _copied}},
    # A cross attention reads the source's streams, which are as much wider.
    Attention: {
        **{f"{name}.weight": {1: _spread} for name in ("query_key", "query", "key", "value", "gate")},
        "output.weight": {0: _copied},
    },
    FourierConvolution: {
        "value.weight": {1: _spread},
        "gate.weight": {1: _spread},
        "output.weight": {0: _copied},
    },
    FeedForward: {
        "inner.weight": {1: _spread},
        "gate.weight": {1: _spread},
        "outer.weight": {0: _copied},
        "outer.bias": {0: _copied},
    },
    SeparableConvolution: {
        "depthwise": {1: _copied},
        "pointwise.weight": {0: _copied, 1: _spread},
        "pointwise.bias": {0: _copied},
    },
    Bottleneck: {"narrow.weight": {1: _spread}, "widen.weight": {0: _copied}, "widen.bias": {0: _copied}},
    ReformerForTokenClassification: {"classifier.weight": {1: _spread}},
    ReformerForSequenceClassification: {"classifier.weight": {1: _spread}, "weigh.weight": {1: _spread}},
    ReformerForQuestionAnswering: {"qa_outputs.weight": {1: _spread}},
    ReformerForForecasting: {"forecast.weight": {1: _spread}},
    LanguageModel: {"lm_projection.weight": {1: _spread}},
}
"""By module and parameter: what is written to the streams or scales them is copied, what reads them is spread."""

EMBEDDING_WAYS: dict[type[nn.Module], dict[str, Way]] = {
    ReformerModel: {"embeddings.weight": {1: _copied}},
    ReformerForImageClassification: {"embed.weight": {0: _copied}, "embed.bias": {0: _copied}},
    ReformerForImageToText: {"embed.weight": {0: _copied}, "embed.bias": {0: _copied}},
    ReformerForForecasting: {"embed.weight": {0: _copied}, "embed.bias": {0: _copied}},
    LanguageModel: {"lm_projection.weight": {0: _divided, 1: _spread}},
}
"""The same for what is as wide as embeddings, where these are as wide as the streams; embeddings of a width of their
own keep it."""


def _grown(weight: Tensor, way: Way, times: int) -> Tensor:
    for dim, grow in way.items():
        weight = grow(weight, dim, times)
    return weight


def _ways(model: PreTrainedModel) -> dict[str, Way]:
    """How each parameter grows, by its name in the model; those not in it stay."""
    config = model.config
    assert isinstance(config, ReformerConfig)
    as_wide = config.embedding_width == config.hidden_size
    tables = [WAYS, EMBEDDING_WAYS] if as_wide else [WAYS]
    found: dict[str, Way] = {}
    for table in tables:
        for prefix, module in model.named_modules():
            for kind, ways in table.items():
                if isinstance(module, kind):
                    for parameter, _ in module.named_parameters():
                        way = next((way for name, way in ways.items() if parameter.startswith(name)), None)
                        if way is not None:
                            found[f"{prefix}.{parameter}" if prefix else parameter] = way
    if isinstance(model, LanguageModel):
        # Tied, these are the embeddings; else they read the streams.
        found["lm_head.weight"] = found.get(model.embeddings, {}) if config.tie_word_embeddings else {1: _spread}
    return found
