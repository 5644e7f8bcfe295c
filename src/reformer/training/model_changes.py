"""Changes between the pretrained model and the model that a run trains, as console lines and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from reformer.finetuning import Base
from reformer.finetuning.adapter import BASE_DIGEST

# `metrics.json` and `start/changes.json` have these keys since version 0.1.0.
_KEYS = {"kept_layers": "kept", "layer_worth": "worth", "head_worth": "heads_worth"}


@dataclass(frozen=True)
class ModelChanges:
    """Differences of a run's initial model from the pretrained one; all empty without one.

    Args:
        new: weights that the pretrained model lacks.
        dropped: weights of the pretrained model that this one has no place for.
        drawn: hash rotations of another shape, drawn anew.
        base: the model that the run's adapter will belong to; None where no adapter is kept.
        kept_layers: the layers that are left.
        layer_worth: by how much the score falls without each layer; below 0 if it rises.
        kept_heads: for each layer, the heads that are left.
        head_worth: for each layer and head, by how much the score falls without it; None where it was not measured.
        score: the pretrained model's, where layers or heads were pruned by it.
        trimmed_score: the pruned model's.
        distinct_layers: how many layers have weights of their own.
        hidden_size: the width after widening.
    """

    new: Sequence[str] = ()
    dropped: Sequence[str] = ()
    drawn: Sequence[str] = ()
    base: Base | None = None
    kept_layers: Sequence[int] | None = None
    layer_worth: Sequence[float] | None = None
    kept_heads: Sequence[Sequence[int]] | None = None
    head_worth: Sequence[Sequence[float | None]] | None = None
    score: float | None = None
    trimmed_score: float | None = None
    distinct_layers: int | None = None
    hidden_size: int | None = None

    def in_words(self, metric: str) -> Iterator[str]:
        """Console lines: new, dropped and redrawn weights, the worth of layers and heads, and what is left of them.

        Args:
            metric: the name of the score.
        """
        words = {"new weights": self.new, "not taken": self.dropped, "hash rotations drawn anew": self.drawn}
        for meaning, names in words.items():
            if names:
                yield f"{meaning}: {', '.join(names)}"
        for number, worth in enumerate(self.layer_worth or ()):
            yield f"layer {number}: without it {metric} {_change(worth)}"
        if self.kept_layers is not None:
            yield f"layers kept: {', '.join(map(str, self.kept_layers))}"
        for number, worths in enumerate(self.head_worth or ()):
            measured = [f"{head} {_change(worth)}" for head, worth in enumerate(worths) if worth is not None]
            if measured:
                yield f"layer {number}: {metric} without its head {', '.join(measured)}"
        for number, heads in enumerate(self.kept_heads or ()):
            yield f"heads kept in layer {number}: {', '.join(map(str, heads)) or 'none, it is no attention'}"
        if self.score is not None:
            yield f"{metric} of the trained model {self.score:.4f}, trimmed {self.trimmed_score:.4f}"
        if self.distinct_layers is not None:
            yield f"layers with weights of their own: {self.distinct_layers}"
        if self.hidden_size is not None:
            yield f"hidden width: {self.hidden_size}"

    def to_json(self) -> dict[str, Any]:
        """The changes as plain values, those that were not made left out."""
        values = {_KEYS.get(field.name, field.name): getattr(self, field.name) for field in fields(self)}
        base = values.pop("base")
        made = {key: _plain(value) for key, value in values.items() if value is not None}
        return made if base is None else made | {BASE_DIGEST: base.digest}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], place: str) -> "ModelChanges":
        """The changes that `to_json` has described.

        Args:
            place: where the recipe says that the pretrained model is.
        """
        names = {key: name for name, key in _KEYS.items()}
        made = {names.get(key, key): value for key, value in values.items() if key != BASE_DIGEST}
        if BASE_DIGEST in values:
            digest = values[BASE_DIGEST]
            # Folders have a digest, models on the hub have none. The weights are not hashed again: of a resumed run,
            # those that it began with count.
            made["base"] = Base(place if digest is None else str(Path(place).resolve()), digest)
        return cls(**made)


def _change(worth: float) -> str:
    return f"{'falls' if worth >= 0 else 'gains'} by {abs(worth):.4f}"


def _plain(value: Any) -> Any:
    """JSON has lists alone; so that what is returned equals what is read back, tuples become lists."""
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
