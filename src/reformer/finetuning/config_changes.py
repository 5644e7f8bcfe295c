"""Changes of a trained model's configuration: the fields that may still be chosen."""

from collections.abc import Mapping
from typing import Any

from reformer.finetuning.errors import FinetuningError
from reformer.models import ReformerConfig
from reformer.models.configuration.fields import ATTENTION_KINDS
from reformer.models.configuration.idle_options import idle_options, plain, refusal
from reformer.models.configuration.renamed_fields import with_new_names

CHANGEABLE = (
    "attention_layers",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "classifier_pooling",
    "classifier_crf",
    "classifier_reads",
    "global_tokens",
    "hidden_dropout_prob",
    "label_smoothing",
    "layer_drop",
    "is_decoder",
    "local_window",
    "lsh_window",
    "max_position_embeddings",
    "ngram_dropout",
    "num_buckets",
    "num_rounds",
    "question_match_sizes",
    "recompute",
    "reversible",
    "rope_theta",
    "rotary_scaling",
    "token_dropout",
    "wide_dropout",
    "wide_reads",
    "wide_rows",
    "wide_sizes",
)
"""Fields that leave every trained weight of the backbone as it is. Rounds and buckets change the hash rotations,
which are drawn and not learned; a table of learned positions is continued by its own rows; layers may be of another
kind that has the same weights."""

OF_VOCABULARY_HEAD = ("lm_transform", "tie_word_embeddings")
"""Fields of the head of a language model alone, free where that head is new."""

SPECIAL_TOKENS = [0, -1]
"""Places of the special tokens that an encoder reads around a text."""


def changed_config(
    config: ReformerConfig, changes: Mapping[str, Any], *, has_vocabulary_head: bool = True
) -> ReformerConfig:
    """A copy of a trained model's configuration with some fields changed.

    Args:
        config: the trained model's.
        changes: fields and their values. A value that the model has already is always allowed; another one for the
            `CHANGEABLE` alone. `attention_layers` may be one kind for all layers. Windows in place of full attention
            see the special tokens around a text, which the layers have learned to look at, unless `global_tokens` says
            otherwise.
        has_vocabulary_head: whether the trained model scores a vocabulary. Where it does not, how a new head scores it
            can be chosen.

    Raises:
        FinetuningError: a change that the learned weights do not allow, or that makes no sense.
    """
    fields, changes = config.to_dict(), dict(with_new_names(changes))
    if isinstance(kind := changes.get("attention_layers"), str):
        changes["attention_layers"] = [kind] * len(config.attention_layers)
    if "global_tokens" not in changes and _hides_special_tokens(config, changes.get("attention_layers")):
        changes["global_tokens"] = SPECIAL_TOKENS
    changeable = CHANGEABLE if has_vocabulary_head else (*CHANGEABLE, *OF_VOCABULARY_HEAD)
    for name, value in changes.items():
        if name not in changeable and plain(fields.get(name)) != plain(value):
            raise FinetuningError(
                f"model.{name} = {value!r}: the trained model has {fields.get(name)!r}, which its weights were learned "
                f"for; leave it out. What can be chosen anew is {', '.join(sorted(changeable))}"
            )
    wanted = fields | changes
    _check_layers(config, wanted, changes)
    # `from_dict` leaves idle options out silently, which is right for the trained model's own, not for changes.
    idle = idle_options(wanted.__getitem__, ReformerConfig.default)
    if told := refusal(idle, wanted.__getitem__, changes):
        raise FinetuningError(f"model.{told}")
    try:
        return ReformerConfig.from_dict(wanted)
    except ValueError as error:
        raise FinetuningError(f"[model] over the trained model's own: {error}") from None


def _hides_special_tokens(config: ReformerConfig, kinds: Any) -> bool:
    """Whether these kinds of layers put the special tokens around a text out of sight of a layer that has seen them."""
    if not isinstance(kinds, list | tuple) or not config.special_tokens or config.global_tokens or config.is_decoder:
        return False
    windowed = [
        theirs == "full" and isinstance(ours, str) and ours in ATTENTION_KINDS and ours != "full"
        for theirs, ours in zip(config.attention_layers, kinds, strict=False)
    ]
    return any(windowed)


def _check_layers(config: ReformerConfig, wanted: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    """Refuse kinds of layers that the learned weights are not of."""
    trained, given = config.attention_layers, wanted["attention_layers"]
    told = f"model.attention_layers = {given!r}: the trained model has {trained!r}"
    if not isinstance(given, list | tuple) or len(given) != len(trained):
        raise FinetuningError(
            f"{told}; give a kind for each of these {len(trained)} layers, those that are taken out afterwards too, or "
            "one kind for all"
        )
    for number, (theirs, ours) in enumerate(zip(trained, given, strict=True)):
        if plain(theirs) == plain(ours):
            continue
        if not (isinstance(theirs, str) and isinstance(ours, str) and {theirs, ours} <= set(ATTENTION_KINDS)):
            raise FinetuningError(
                f"{told}; layer {number} can become another whole layer alone, and only of attention to attention: "
                f"{', '.join(ATTENTION_KINDS)}"
            )
        if _weights_of(config, theirs) != _weights_of(config, ours):
            raise FinetuningError(
                f"{told}; layer {number} has learned {_weights_of(config, theirs)}, and of the kind {ours!r} it would "
                f"need {_weights_of(config, ours)}"
            )
        theta = config.theta_of_kinds
        if "rope_theta" not in changes and theta.get(theirs) != theta.get(ours):
            raise FinetuningError(
                f"{told}; layer {number} has learned the rotary base {theta.get(theirs)} of its kind, and {ours!r} has "
                f"{theta.get(ours)}; give rope_theta too, or leave the layer as it is"
            )


def _weights_of(config: ReformerConfig, kind: str) -> str:
    """What a kind of attention learns of queries and keys."""
    if "lsh" in kind and config.shared_query_key:
        return "one projection for queries and keys (shared_query_key=True)"
    if "lsh" in kind and config.hashed_scores == "cosine":
        return "queries and keys of unit length, and a temperature (hashed_scores='cosine')"
    return "queries, keys and their products"
