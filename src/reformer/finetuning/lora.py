"""LoRA through `peft`: low-rank weights beside frozen projections (Hu et al. 2022), and merging them."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from reformer.finetuning.errors import FinetuningError

PROJECTIONS = ("query_key", "query", "key", "value", "output")
"""The projections of attention, by their names in every layer; hashed layers whose queries are keys have a `query_key`
in place of `query` and `key`."""


def add_lora(
    model: PreTrainedModel,
    rank: int,
    alpha: float | None = None,
    targets: Sequence[str] = PROJECTIONS,
    learned: Iterable[str] = (),
) -> Any:
    """Freeze a model, and give its projections `W` a product of two narrow matrices to learn, `W + alpha / rank B A`.

    `B` starts at zero, so the model is at first what it was. Nothing is dropped out before `A`; an adapter
    that peft's own `get_peft_model` adds may have a `lora_dropout`, which layers that run again repeat.

    Args:
        model: changed in place, from what the backbone has to `lora.Linear` of peft where the names say so.
        rank: the inner width of the product.
        alpha: its scale, twice the rank if not given.
        targets: the last parts of the names of linear maps in the backbone, as peft takes `target_modules`; such as
            `query_key`, `value`, `inner`, `outer`, or longer ones, `sublayers.4.function.value`.
        learned: names of parameters that are to learn whole, such as those of a new head.

    Returns:
        peft's `LoraConfig`.

    Raises:
        FinetuningError: peft is not installed, a target that names nothing, what is no linear map, or what is not in
            the backbone; layers that share their weights.
    """
    peft = peft_package()
    found = {target: [name for name, _ in model.named_modules() if _fits(name, target)] for target in targets}
    # A layer kind has only some of the projections, so a default target that fits nothing is no mistake.
    missing = [target for target, names in found.items() if not names and target not in PROJECTIONS]
    if missing or not any(found.values()):
        kinds = sorted({name.rpartition(".")[2] for name in _linear_maps(model)})
        raise FinetuningError(
            f"lora_targets has {', '.join(map(repr, missing or targets))}, and no part of the model has that name; "
            f"its linear maps end with {', '.join(kinds)}"
        )
    chosen = [name for names in found.values() for name in names]
    wrong = sorted(set(chosen) - set(_linear_maps(model)))
    if wrong:
        raise FinetuningError(
            f"lora_targets fits {', '.join(wrong)}, and only linear maps of the backbone can have an adapter; a new "
            "head learns whole"
        )
    config = peft.LoraConfig(r=rank, lora_alpha=2 * rank if alpha is None else alpha, target_modules=list(targets))
    inject(model, config)
    own = set(learned)
    for name, parameter in model.named_parameters():
        if name in own:
            parameter.requires_grad_(True)
    return config


def inject(model: PreTrainedModel, config: Any) -> None:
    """Put the adapters of a peft configuration into the model; they alone are trained then.

    Raises:
        FinetuningError: layers that share their weights.
    """
    if getattr(model.config, "num_distinct_layers", None) is not None:
        raise FinetuningError(
            f"num_distinct_layers={model.config.num_distinct_layers}: layers that share their weights would have an "
            "adapter each, and could not be merged with them; use LoRA before sharing, or freeze instead"
        )
    peft = peft_package()
    peft.inject_adapter_in_model(config, model)
    for module in model.modules():
        # peft brings each input to its adapters' type. Where that is the projection's own, autocast does so at once.
        if isinstance(module, peft.tuners.lora.LoraLayer):
            types = {weight.dtype for weight in module.parameters()}
            module.cast_input_dtype_enabled = len(types) > 1  # pyright: ignore[reportArgumentType]


@torch.no_grad()
def merge_lora(model: PreTrainedModel) -> PreTrainedModel:
    """The model, changed in place, with every low-rank product added to its projection: an ordinary model, all of whose
    weights may learn. Its outputs are the same up to rounding."""
    layer_type = peft_package().tuners.lora.LoraLayer
    for name, module in list(model.named_modules()):
        if isinstance(module, layer_type):
            module.merge()  # pyright: ignore[reportCallIssue]
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, module.get_base_layer())  # pyright: ignore[reportCallIssue]
    if hasattr(model, "peft_config"):
        del model.peft_config
    return model.requires_grad_(True)


def peft_package() -> Any:
    """The package `peft`, imported on first use.

    Raises:
        FinetuningError: it is not installed.
    """
    try:
        import peft
    except ImportError as error:
        raise FinetuningError(
            f"LoRA needs peft, which is not installed ({error}); pip install 'reformer-torch[lora]'"
        ) from None
    return peft


def _fits(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _linear_maps(model: PreTrainedModel) -> list[str]:
    """The names of the backbone's linear maps."""
    body = "" if model.base_model is model else f"{model.base_model_prefix}."
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and name.startswith(body)]
