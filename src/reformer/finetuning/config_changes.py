"""Changes of a trained model's configuration: the fields that may still be chosen."""

from collections.abc import Mapping
from typing import Any

from reformer.finetuning.errors import FinetuningError
from reformer.models import ReformerConfig
from reformer.models.configuration.idle_options import idle_options, plain, refusal
from reformer.models.configuration.renamed_fields import with_new_names

CHANGEABLE = (
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
    "recompute",
    "reversible",
    "rope_theta",
    "token_dropout",
    "wide_dropout",
    "wide_rows",
    "wide_sizes",
)
"""Fields that leave every trained weight of the backbone as it is. Rounds and buckets change the hash rotations,
which are drawn and not learned."""


def changed_config(config: ReformerConfig, changes: Mapping[str, Any]) -> ReformerConfig:
    """A copy of a trained model's configuration with some fields changed.

    Args:
        config: the trained model's.
        changes: fields and their values. A value that the model has already is always allowed; another one for the
            `CHANGEABLE` alone, and for `max_position_embeddings` unless its positions are a table of that length.

    Raises:
        FinetuningError: a change that the learned weights do not allow, or that makes no sense.
    """
    fields, changes = config.to_dict(), with_new_names(changes)
    allowed = {name for name in CHANGEABLE if name != "max_position_embeddings" or _any_length(config)}
    for name, value in changes.items():
        if name not in allowed and plain(fields.get(name)) != plain(value):
            raise FinetuningError(
                f"model.{name} = {value!r}: the trained model has {fields.get(name)!r}, which its weights were learned "
                f"for; leave it out. What can be chosen anew is {', '.join(sorted(allowed))}"
            )
    wanted = fields | dict(changes)
    # `from_dict` leaves idle options out silently, which is right for the trained model's own, not for changes.
    idle = idle_options(wanted.__getitem__, ReformerConfig.default)
    if told := refusal(idle, wanted.__getitem__, changes):
        raise FinetuningError(f"model.{told}")
    try:
        return ReformerConfig.from_dict(wanted)
    except ValueError as error:
        raise FinetuningError(f"[model] over the trained model's own: {error}") from None


def _any_length(config: ReformerConfig) -> bool:
    return config.position_embedding_type != "learned"
