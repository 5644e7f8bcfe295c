"""Widening: a trained model with more channels, which computes the same function at first."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from reformer.finetuning.errors import FinetuningError
from reformer.finetuning.layers import rebuilt
from reformer.models import ReformerConfig
from reformer.models.heads.language import LanguageModel, VocabularyTransform
from reformer.nn import Channels, CharacterReader, CirculantLinear, FusionPooling, Hourglass, SinusoidalPositions


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
    CharacterReader: "classifier_reads='characters': its convolution mixes the channels of several characters",
    VocabularyTransform: "lm_transform=True: its norm mixes the channels that embeddings are compared with",
    Hourglass: "shortened_layers: the joints that shorten the sequence mix the channels of several tokens",
}
"""By module, the reason why its channels cannot be copied."""


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


GROW: dict[Channels, Callable[[Tensor, int, int], Tensor]] = {
    Channels.EACH: _copied,
    Channels.SUMMED: _spread,
    Channels.MATCHED: _divided,
}
"""How a dimension of a weight grows, by how it runs over the channels."""

Ways = Mapping[int, Channels]
"""Dimensions of a weight that run over channels, and how."""


def _grown(weight: Tensor, ways: Ways, times: int) -> Tensor:
    for dim, channels in ways.items():
        weight = GROW[channels](weight, dim, times)
    return weight


def _ways(model: PreTrainedModel) -> dict[str, Ways]:
    """How each parameter grows, by its name in the model; those not in it stay."""
    config = model.config
    assert isinstance(config, ReformerConfig)
    # Embeddings of a width of their own keep it.
    as_wide = config.embedding_width == config.hidden_size
    found: dict[str, Ways] = {}
    for table in ("stream_channels", "embedding_channels") if as_wide else ("stream_channels",):
        for prefix, module in model.named_modules():
            for parameter, _ in module.named_parameters():
                declared = getattr(module, table, {})
                ways = next((ways for name, ways in declared.items() if parameter.startswith(name)), None)
                if ways is not None:
                    found[f"{prefix}.{parameter}" if prefix else parameter] = ways
    if isinstance(model, LanguageModel):
        # Tied, these are the embeddings; else they read the streams.
        tied = config.tie_word_embeddings
        found["lm_head.weight"] = found.get(model.embeddings, {}) if tied else {1: Channels.SUMMED}
    return found
