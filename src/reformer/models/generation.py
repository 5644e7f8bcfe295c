"""Generation by transformers, with a cache of our own."""

from typing import TYPE_CHECKING, Any

from torch import Tensor
from transformers import GenerationMixin


class ReformerGenerationMixin(GenerationMixin):
    """transformers' `generate` with a `ReformerCache`, whatever the class of a model is called."""

    if TYPE_CHECKING:
        # transformers types its `self` as what no model is.
        def generate(self, inputs: Tensor | None = None, **kwargs: Any) -> Any: ...

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    def _prepare_cache_for_generation(
        self, generation_config: Any, model_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> None:
        if generation_config.cache_implementation is not None:
            raise ValueError(
                f"cache_implementation={generation_config.cache_implementation!r}: these models have a cache of their "
                "own, which in hashed and local layers does not grow; leave it out"
            )
        # transformers types the `self` of this as no model.
        parent: Any = super()
        parent._prepare_cache_for_generation(generation_config, model_kwargs, *args, **kwargs)
        if generation_config.use_cache is not False and model_kwargs.get("past_key_values") is None:
            cache = self.base_model.new_cache()  # pyright: ignore[reportAttributeAccessIssue]
            if generation_config.is_assistant:
                cache.activate_past_recording()
            model_kwargs["past_key_values"] = cache
