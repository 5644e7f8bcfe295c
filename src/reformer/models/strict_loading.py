"""Strict loading: safetensors only, and every weight must be there, known and of its shape."""

from typing import Any

from reformer.models.alignment import align


class StrictLoading:
    """Mixin for a `PreTrainedModel`: a missing, unknown or misshapen weight is an error."""

    @classmethod
    def from_pretrained(cls, *args: Any, new_head: bool = False, **kwargs: Any) -> Any:
        """As transformers' `from_pretrained`, but strict.

        Args:
            new_head: start with a freshly drawn head where the checkpoint has another or none. The backbone must
                still be there whole.

        Raises:
            ValueError: a weight of the model is not in the checkpoint, one of the checkpoint is not in the model,
                or their shapes differ. The message names them.
        """
        wants_info = kwargs.pop("output_loading_info", False)
        if kwargs.pop("use_safetensors", True) is False:
            raise ValueError("use_safetensors=False: only safetensors files are read, since others can run code")
        # Shapes that differ are let through here to be reported below with everything else that does not fit.
        kwargs["ignore_mismatched_sizes"] = True
        model, info = super().from_pretrained(  # pyright: ignore[reportAttributeAccessIssue]
            *args, use_safetensors=True, output_loading_info=True, **kwargs
        )
        problems = {
            "missing in the checkpoint": set(info["missing_keys"]),
            "unknown to the model": set(info["unexpected_keys"]),
            "of another shape": {str(entry[0]) for entry in info["mismatched_keys"]},
            # transformers leaves tied parameters apart whose values in the file differ.
            "not equal to what they share": set(model.get_expanded_tied_weights_keys(all_submodels=True))
            - set(model.all_tied_weights_keys),
        }
        if new_head:
            body = f"{model.base_model_prefix}."
            problems = {why: {key for key in keys if key.startswith(body)} for why, keys in problems.items()}
        found = [f"{why}: {', '.join(sorted(keys))}" for why, keys in problems.items() if keys]
        if found:
            raise ValueError(
                f"the weights do not fit {cls.__name__}; {'; '.join(found)}. Load it with the class and the "
                "configuration it was saved with, or with new_head=True if only the head is meant to differ"
            )
        align(model)
        return (model, info) if wants_info else model

    def tie_weights(self, missing_keys: set[str] | None = None, recompute_mapping: bool = True) -> None:
        """As transformers' `tie_weights`, but only once there are weights: while a checkpoint is being read, every name
        stands for itself, so that a shared one that is not in the file is noticed."""
        if missing_keys is None and self.device.type == "meta":  # pyright: ignore[reportAttributeAccessIssue]
            return
        super().tie_weights(missing_keys, recompute_mapping)  # pyright: ignore[reportAttributeAccessIssue]
