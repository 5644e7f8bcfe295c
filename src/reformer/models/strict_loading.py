"""Strict loading: safetensors only, and every weight must be there, known and of its shape."""

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self, overload

from safetensors import safe_open

from reformer.models.alignment import align

_ADAPTER_CONFIG = "adapter_config.json"
SPARE = 1 << 24
"""Numbers that a model may have beyond those of its files: a new head, or rotations of further rounds."""


class UnfitWeightsError(ValueError, RuntimeError):
    """A checkpoint and a model that have not the same weights; transformers raises a `RuntimeError` for such."""


class StrictLoading:
    """Mixin for a `PreTrainedModel`: a missing, unknown or misshapen weight is an error."""

    @overload
    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        *args: Any,
        new_head: bool = False,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: Literal[False] = False,
        **kwargs: Any,
    ) -> Self: ...
    @overload
    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        *args: Any,
        new_head: bool = False,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: Literal[True],
        **kwargs: Any,
    ) -> tuple[Self, dict[str, Any]]: ...
    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        *args: Any,
        new_head: bool = False,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        **kwargs: Any,
    ) -> Any:
        """As transformers' `from_pretrained`, but strict.

        Args:
            new_head: start with a freshly drawn head where the checkpoint has another or none. The backbone must
                still be there whole.
            ignore_mismatched_sizes: draw the weights afresh that have another shape in the checkpoint, of the head or
                not; transformers' loading report names them.

        Raises:
            UnfitWeightsError: a weight of the model is not in the checkpoint, one of the checkpoint is not in the
                model, or their shapes differ. The message names them.
            ValueError: other weights than safetensors' are asked for, or there is an adapter beside them.
        """
        if kwargs.pop("use_safetensors", True) is False:
            raise ValueError("use_safetensors=False: only safetensors files are read, since others can run code")
        place = pretrained_model_name_or_path
        if place is not None and (Path(place) / _ADAPTER_CONFIG).is_file():
            # transformers would have peft read it, whatever it says.
            raise ValueError(f"{place}: this folder has an adapter; load it with reformer.finetuning.load_pretrained")
        # Unless it is told, transformers asks in the terminal where a model comes with code.
        kwargs["trust_remote_code"] = False
        model, info = super().from_pretrained(  # pyright: ignore[reportAttributeAccessIssue]
            place,
            *args,
            use_safetensors=True,
            # Shapes that differ are let through here to be reported below with everything else that does not fit.
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **kwargs,
        )
        if getattr(model, "_hf_peft_config_loaded", False):
            raise ValueError(f"{place}: this model has an adapter beside it; take one in which it is merged")
        problems = {
            "missing in the checkpoint": set(info["missing_keys"]),
            "unknown to the model": set(info["unexpected_keys"]),
            "of another shape": set()
            if ignore_mismatched_sizes
            else {str(entry[0]) for entry in info["mismatched_keys"]},
            # transformers leaves tied parameters apart whose values in the file differ.
            "not equal to what they share": set(model.get_expanded_tied_weights_keys(all_submodels=True))
            - set(model.all_tied_weights_keys),
        }
        if new_head:
            body = f"{model.base_model_prefix}."
            problems = {why: {key for key in keys if key.startswith(body)} for why, keys in problems.items()}
        found = [f"{why}: {', '.join(sorted(keys))}" for why, keys in problems.items() if keys]
        if found:
            raise UnfitWeightsError(
                f"the weights do not fit {cls.__name__}; {'; '.join(found)}. Load it with the class and the "
                "configuration it was saved with, or with new_head=True if only the head is meant to differ"
            )
        align(model)
        return (model, info) if output_loading_info else model

    @classmethod
    def _load_pretrained_model(
        cls, model: Any, state_dict: Any, checkpoint_files: list[str] | None, *args: Any, **kwargs: Any
    ) -> Any:
        """As transformers', whose name this is (read in 5.23). The model has no memory yet here: weights that are not
        in the files would get it next, however large the configuration says that they are."""
        if checkpoint_files is not None:
            shared = model.get_expanded_tied_weights_keys(all_submodels=True)
            sizes = [weight.numel() for name, weight in model.state_dict().items() if name not in shared]
            check_weights_are_there(sum(sizes), map(Path, checkpoint_files))
        return super()._load_pretrained_model(  # pyright: ignore[reportAttributeAccessIssue]
            model, state_dict, checkpoint_files, *args, **kwargs
        )

    def tie_weights(self, missing_keys: set[str] | None = None, recompute_mapping: bool = True) -> None:
        """As transformers' `tie_weights`, but only once there are weights: while a checkpoint is being read, every name
        stands for itself, so that a shared one that is not in the file is noticed."""
        if missing_keys is None and self.device.type == "meta":  # pyright: ignore[reportAttributeAccessIssue]
            return
        super().tie_weights(missing_keys, recompute_mapping)  # pyright: ignore[reportAttributeAccessIssue]


def check_weights_are_there(needed: int, files: Iterable[Path]) -> None:
    """Raise a `ValueError` if a model has far more numbers than its files, so that most would be allocated in vain."""
    held = 0
    for file in files:
        with safe_open(file, "pt") as tensors:
            held += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    if needed > 2 * held + SPARE:
        raise ValueError(
            f"the configuration asks for {needed:,} weights, and the files have {held:,}; one of both is of another"
        )
