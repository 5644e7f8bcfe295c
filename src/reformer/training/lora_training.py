"""LoRA for the duration of a run: adapters put into its model before the first step, kept or merged after the last."""

from transformers import PreTrainedModel

from reformer.finetuning import PROJECTIONS, Adapter, Base, add_lora, merge_lora
from reformer.recipe import FinetuneRecipe
from reformer.training.model_changes import ModelChanges


def adapter_base(place: str, recipe: FinetuneRecipe) -> Base | None:
    """The model that the run's adapter will belong to; None where no adapter is kept."""
    return None if recipe.lora_rank is None or recipe.lora_merge else Base.at(place)


class LoraTraining:
    """A model whose adapters alone learn, and those weights that the pretrained model lacks.

    Args:
        model: the pretrained model under the task's head, changed in place.
        recipe: with a `lora_rank`.
        changes: which weights are new, and which model the adapter will belong to.

    Raises:
        FinetuningError: this model cannot have such adapters.
    """

    def __init__(self, model: PreTrainedModel, recipe: FinetuneRecipe, changes: ModelChanges) -> None:
        assert recipe.lora_rank is not None
        targets = PROJECTIONS if recipe.lora_targets is None else recipe.lora_targets
        self._lora = add_lora(model, recipe.lora_rank, recipe.lora_alpha, targets, changes.new)
        self._changes = changes

    @classmethod
    def begin(cls, model: PreTrainedModel, recipe: FinetuneRecipe, changes: ModelChanges) -> "LoraTraining | None":
        """Put adapters into the model if the recipe has a rank for them."""
        return None if recipe.lora_rank is None else cls(model, recipe, changes)

    def finish(self, model: PreTrainedModel) -> PreTrainedModel | Adapter:
        """Merge the adapters into the model, and return what the run is to save: the adapter, or the model itself."""
        base = self._changes.base
        saved = model if base is None else Adapter.of(model, self._lora, base, self._changes.drawn)
        merge_lora(model)
        return saved
