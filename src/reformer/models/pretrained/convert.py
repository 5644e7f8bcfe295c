"""Conversion of a model of transformers to ours, proved by running both."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForTokenClassification,
    PreTrainedConfig,
    PreTrainedModel,
)

from reformer.models.backbone import ReformerModel
from reformer.models.configuration import ReformerConfig
from reformer.models.heads.classification import ReformerForTokenClassification
from reformer.models.heads.language import ReformerForCausalLM, ReformerForMaskedLM
from reformer.models.heads.question_answering import ReformerForQuestionAnswering
from reformer.models.pretrained.architecture import Architecture, State
from reformer.models.pretrained.licence import check_licence
from reformer.models.pretrained.nearness import Nearness, nearness
from reformer.models.pretrained.table import ARCHITECTURES
from reformer.models.pretrained.weights import PretrainedError, Weights
from reformer.models.progress_bars import no_load_report
from reformer.nn.positions import continued_table

BOUND = 1e-4
"""How far a converted model may be from the original, in float32."""

PROOF_LENGTHS = (37, 11, 1)
"""Tokens of the sequences that both models read, padded to one batch."""

HEADS: dict[str, tuple[Any, type[PreTrainedModel]]] = {
    "ForMaskedLM": (AutoModelForMaskedLM, ReformerForMaskedLM),
    "ForPreTraining": (AutoModelForMaskedLM, ReformerForMaskedLM),
    "ForCausalLM": (AutoModelForCausalLM, ReformerForCausalLM),
    "ModelWithLMHead": (AutoModelForCausalLM, ReformerForCausalLM),
    "ForTokenClassification": (AutoModelForTokenClassification, ReformerForTokenClassification),
    "ForQuestionAnswering": (AutoModelForQuestionAnswering, ReformerForQuestionAnswering),
}
"""By the end of an architecture's name, the class that loads theirs, and ours. Of another head the body is taken."""

DRAWN = ("rotation_", "log_temperature")
"""Buffers and parameters that no plain Transformer has."""


@dataclass(frozen=True)
class Converted:
    """A model of another architecture as one of ours."""

    model: PreTrainedModel
    difference: float
    """The greatest difference of hidden states and logits from the original's, of the same layers and lengths."""
    dropped: tuple[str, ...]
    """Weights of the original that have no place in ours, and why, where that is not all."""
    licences: tuple[str, ...]
    """Those that the original's configuration and card name."""
    exact_length: int | None
    """The greatest length of a text for which both are the same function; None for any."""
    nearness: Nearness | None = None
    """How near both are on a longer text, of the same layers and windows as the original's; None where both are the
    same function of every text that they read."""


def convert(
    place: str | Path,
    *,
    length: int | None = None,
    layers: int | None = None,
    kind: str | None = None,
    window: int | None = None,
    accept_licence: bool = False,
) -> Converted:
    """The model of transformers at a place as one of ours, with the same answers.

    Both are run on a few sequences first, padded ones among them, before anything is changed.

    Args:
        place: a folder that transformers has written, or a name on the Hugging Face hub; safetensors files alone.
        length: the greatest length; learned positions are continued by repeating them. None: the original's.
        layers: keep so many of the lowest layers; None for all.
        kind: the kind of attention of those layers that see all: "local" or "local+lsh"; None leaves them.
        window: its windows, in tokens to each side, the token itself included.
        accept_licence: take a model whose card or configuration names a licence that forbids some uses.

    Raises:
        PretrainedError: a licence that was not accepted, a type that is unknown or has options that ours lacks, weights
            that are missing or left over, a difference of more than 1e-4, or choices that do not fit the model.
    """
    theirs, head, architecture, licences = _load(str(place), accept_licence)
    config = theirs.config
    whole, dropped = _converted(theirs, head, architecture, architecture.fields(config))
    exact_length = architecture.exact_length(config)
    difference = greatest_difference(theirs, whole, exact_length)
    if not difference <= BOUND:
        raise PretrainedError(
            f"{place}: converted, the model's answers differ by up to {difference:.1e} from the original's, and "
            f"at most {BOUND:.0e} was expected; it has a part that its configuration does not tell of"
        )
    near = None if exact_length is None else nearness(theirs, whole, exact_length, architecture.multiple(config))
    if (length, layers, kind, window) == (None, None, None, None):
        return Converted(whole, difference, dropped, licences, exact_length, near)
    del whole
    fields = _changed(architecture, architecture.fields(config), length, layers, kind, window)
    model, dropped = _converted(theirs, head, architecture, fields)
    return Converted(model, difference, dropped, licences, exact_length, near)


def _load(
    place: str, accept_licence: bool
) -> tuple[PreTrainedModel, type[PreTrainedModel], Architecture, tuple[str, ...]]:
    """Their model, our class for it, its architecture, and its licences."""
    try:
        found, _ = PreTrainedConfig.get_config_dict(place)
    except Exception as error:
        raise PretrainedError(f"{place}: there is no model there ({_reason(error)})") from error
    if not found:
        raise PretrainedError(
            f"{place}: there is no model there; give a folder that transformers has written, or a name"
        )
    kind, [name, *_] = found.get("model_type"), found.get("architectures") or [""]
    if kind not in ARCHITECTURES:
        raise PretrainedError(
            f"{place}: a model of type {kind!r} cannot be converted; expected one of {', '.join(ARCHITECTURES)}"
        )
    licences = check_licence(place, found, accept_licence)
    loader, ours = next((pair for end, pair in HEADS.items() if name.endswith(end)), (AutoModel, ReformerModel))
    architecture = ARCHITECTURES[kind]
    try:
        with no_load_report():
            theirs, info = loader.from_pretrained(
                place,
                output_loading_info=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                # Told below, with their names.
                ignore_mismatched_sizes=True,
            )
    except Exception as error:
        raise PretrainedError(f"{place}: this model cannot be loaded: {_reason(error)}") from error
    # A body without its pooler is whole, since ours has none.
    missing = sorted(name for name in info["missing_keys"] if "pooler." not in name)
    misshapen = sorted(str(entry[0]) for entry in info["mismatched_keys"])
    if missing or misshapen:
        raise PretrainedError(
            f"{place}: weights are missing or of another shape: {', '.join((missing + misshapen)[:5])}"
        )
    if ours is not ReformerModel:
        unexpected = sorted(
            name for name in info["unexpected_keys"] if not any(part in name for part in architecture.expendable)
        )
        if unexpected:
            raise PretrainedError(f"{place}: weights are left over: {', '.join(unexpected[:5])}")
    return theirs.eval(), ours, architecture, licences


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _converted(
    theirs: Any, head: type[PreTrainedModel], architecture: Architecture, fields: Mapping[str, Any]
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    config = theirs.config
    ids = {name: getattr(config, name, None) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    labels = {"id2label": config.id2label, "label2id": config.label2id}
    fields = {**fields, **ids, **(labels if head is ReformerForTokenClassification else {})}
    if head not in (ReformerForMaskedLM, ReformerForCausalLM):
        fields |= {"tie_word_embeddings": False, "lm_transform": False}
    ours = head(ReformerConfig(**fields)).eval()
    body, rest = theirs.base_model, {}
    if body is not theirs:
        rest = {
            name: weight for name, weight in theirs.state_dict().items() if not name.startswith(architecture.prefix)
        }
    weights, of_head = Weights(body.state_dict()), Weights(rest)
    state = architecture.body(weights, config, len(fields["attention_layers"]))
    weights.finish()
    if (table := state.get("positions.table.weight")) is not None:
        state["positions.table.weight"] = continued_table(table, fields["max_position_embeddings"])
    if head is not ReformerModel:
        state = {f"reformer.{name}": weight for name, weight in state.items()}
        state |= _head_weights(of_head, ours, architecture, config)
        of_head.finish()
    _fill(ours, state)
    return ours, (*weights.dropped, *of_head.dropped)


def _head_weights(weights: Weights, ours: Any, architecture: Architecture, config: PreTrainedConfig) -> State:
    if isinstance(ours, ReformerForTokenClassification):
        return weights.module("classifier", "classifier")
    if isinstance(ours, ReformerForQuestionAnswering):
        return weights.module("qa_outputs", "qa_outputs")
    state = architecture.vocabulary_head(weights, config)
    if ours.lm_projection is not None:
        # Tied scores of ours pass a learned map first, and theirs do not.
        state["lm_projection.weight"] = torch.eye(ours.config.hidden_size, device="cpu")
    return state


@torch.no_grad()
def _fill(ours: PreTrainedModel, state: State) -> None:
    """Load the weights; biases that the original has not are zero."""
    own = ours.state_dict()
    if unknown := sorted(state.keys() - own.keys()):
        raise PretrainedError(f"our model has no {', '.join(unknown[:5])}")
    for name, weight in own.items():
        given = state.get(name)
        if given is not None and given.shape != weight.shape:
            raise PretrainedError(f"{name} has the shape {tuple(given.shape)}, expected {tuple(weight.shape)}")
        if given is not None:
            weight.copy_(given)
        elif name.endswith(".bias"):
            weight.zero_()
        elif not name.rpartition(".")[2].startswith(DRAWN):
            raise PretrainedError(f"the original has nothing for our {name}")


def _changed(
    architecture: Architecture,
    fields: Mapping[str, Any],
    length: int | None,
    layers: int | None,
    kind: str | None,
    window: int | None,
) -> dict[str, Any]:
    """The fields with what was asked for."""
    changed, kinds = dict(fields), list(fields["attention_layers"])
    if layers is not None:
        if not 1 <= layers <= len(kinds):
            raise PretrainedError(f"layers={layers}: the model has {len(kinds)}; expected 1 to {len(kinds)}")
        kinds = kinds[:layers]
    if window is not None and kind is None:
        raise PretrainedError(f"window={window}: no layer is given another kind; give kind, such as 'local'")
    if kind is not None:
        if "full" not in kinds:
            raise PretrainedError(f"kind={kind!r}: no layer of this model sees all tokens; leave it out")
        theta = fields.get("rope_theta")
        if kind == "local" and isinstance(theta, dict) and theta["local"] != theta["full"] and "full" in kinds:
            raise PretrainedError(
                "kind='local': the layers that see all have other rotary positions than the local ones of this model, "
                "so they cannot be of one kind; give kind='local+lsh'"
            )
        kinds = [kind if each == "full" else each for each in kinds]
        changed["global_tokens"] = list(architecture.global_tokens)
        if window is not None:
            changed |= {"local_window": window, "lsh_window": window}
    if length is not None:
        changed["max_position_embeddings"] = length
    return changed | {"attention_layers": kinds}


@torch.no_grad()
def greatest_difference(theirs: Any, ours: Any, longest: int | None = None) -> float:
    """The greatest difference of hidden states and logits between a model and its conversion, over random sequences in
    one padded batch, of at most `longest` tokens."""
    config = ours.config
    most = min(config.max_position_embeddings, longest or PROOF_LENGTHS[0])
    lengths = [min(length, most) for length in PROOF_LENGTHS]
    pad = config.pad_token_id if config.pad_token_id is not None else 0
    generator = torch.Generator("cpu").manual_seed(0)
    ids = torch.randint(config.vocab_size, (len(lengths), lengths[0]), generator=generator, device="cpu")
    # The id of padding says where RoBERTa's positions begin, and no text has it.
    ids = torch.where(ids == pad, (pad + 1) % config.vocab_size, ids)
    mask = torch.arange(lengths[0], device="cpu") < torch.tensor(lengths, device="cpu")[:, None]
    ids = ids.masked_fill(~mask, pad)
    inputs = {"input_ids": ids, "attention_mask": mask.long()}
    found = [
        (theirs.base_model(**inputs).last_hidden_state, ours.base_model(**inputs).last_hidden_state),
    ]
    if ours.base_model is not ours:
        found += zip(_logits(theirs(**inputs)), _logits(ours(**inputs)), strict=True)
    return max(_difference(left, right, mask) for left, right in found)


def _logits(outputs: Any) -> tuple[Tensor, ...]:
    return (outputs.start_logits, outputs.end_logits) if "start_logits" in outputs else (outputs.logits,)


def _difference(left: Tensor, right: Tensor, mask: Tensor) -> float:
    return float((left - right)[mask].abs().max())
