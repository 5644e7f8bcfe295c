"""The adapters of a run: put into its model before the first step, kept or merged after the last."""

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedModel

from reformer.finetuning import PROJECTIONS, Adapter, Base, add_lora, merge_lora
from reformer.recipe import FinetuneRecipe

DIGEST = "base_sha256"


def base_changes(place: str, recipe: FinetuneRecipe) -> dict[str, Any]:
    """What `metrics.json` tells of the model that an adapter will belong to; nothing where none will be kept."""
    return {} if recipe.lora_rank is None or recipe.lora_merge else {DIGEST: Base.at(place).digest}


class LoraTraining:
    """A model that learns by adapters alone.

    Args:
        model: the trained model under the task's head, changed in place.
        recipe: with a `lora_rank`.
        changes: what is not as in the model that the run starts from; of its weights, those that are new learn whole.

    Raises:
        FinetuningError: this model cannot have such adapters.
    """

    def __init__(self, model: PreTrainedModel, recipe: FinetuneRecipe, changes: Mapping[str, Any]) -> None:
        assert recipe.lora_rank is not None
        assert recipe.start_from is not None
        targets = PROJECTIONS if recipe.lora_targets is None else recipe.lora_targets
        self._lora = add_lora(model, recipe.lora_rank, recipe.lora_alpha, targets, changes["new"])
        self._drawn = changes["drawn"]
        self._base = None if recipe.lora_merge else Base(Base.at(recipe.start_from).place, changes[DIGEST])

    def end(self, model: PreTrainedModel) -> PreTrainedModel | Adapter:
        """Merge the adapters into the model; what the run is to keep of it."""
        kept = model if self._base is None else Adapter.of(model, self._lora, self._base, self._drawn)
        merge_lora(model)
        return kept
