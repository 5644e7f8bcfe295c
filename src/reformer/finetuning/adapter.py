"""Folder of a LoRA adapter: its weights, peft's configuration, and the trained model that it belongs to."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from reformer.finetuning.adapter_config import ADAPTER_CONFIG, read_adapter_config
from reformer.finetuning.errors import FinetuningError
from reformer.finetuning.lora import inject, merge_lora
from reformer.finetuning.transfer import transfer
from reformer.models import ReformerConfig
from reformer.models.strict_loading import SPARE

ADAPTER = "adapter_model.safetensors"
PREFIX = "base_model.model."
"""Prefix that peft puts before the name of every weight."""
BASE_DIGEST = "base_sha256"


@dataclass(frozen=True)
class Base:
    """The model that an adapter belongs to."""

    place: str
    """A folder, absolute, or a name on the hub."""
    digest: str | None
    """SHA-256 of a folder's weights."""

    @classmethod
    def at(cls, place: str) -> "Base":
        """The model that is there now."""
        folder = Path(place)
        if not folder.is_dir():
            return cls(place, None)
        found = hashlib.sha256()
        for file in sorted(folder.glob("*.safetensors")):
            with file.open("rb") as stream:
                found.update(hashlib.file_digest(stream, "sha256").digest())
        return cls(str(folder.resolve()), found.hexdigest())


@dataclass(frozen=True)
class Adapter:
    """Adapter of a trained model: the LoRA weights, those trained in full, and hash rotations that were drawn anew."""

    weights: dict[str, Tensor]
    lora: Any
    """peft's `LoraConfig`."""
    config: ReformerConfig
    """The model's own configuration."""
    base_digest: str | None

    @classmethod
    def of(cls, model: PreTrainedModel, lora: Any, base: Base, drawn: Iterable[str]) -> "Adapter":
        """Take it from a trained model, before it is merged.

        Args:
            model: as `add_lora` has made it.
            lora: what `add_lora` has returned.
            base: the model that it started from.
            drawn: of the rotations, their names in the backbone.
        """
        kept = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        kept |= {_body(model) + name for name in drawn}
        # A head's buffers were fitted in this run, or are there already.
        kept |= {name for name, _ in model.named_buffers() if not name.startswith(_body(model))}
        weights = {_plain(name): weight for name, weight in model.state_dict().items() if name in kept}
        lora.base_model_name_or_path = base.place
        assert isinstance(model.config, ReformerConfig)
        model.config.architectures = [type(model).__name__]
        return cls(weights, lora, model.config, base.digest)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write it into a folder that exists, in peft's form, beside the model's configuration."""
        note = {"format": "pt"} | ({BASE_DIGEST: self.base_digest} if self.base_digest else {})
        weights = {PREFIX + name: weight.detach().cpu().contiguous() for name, weight in self.weights.items()}
        save_file(weights, Path(folder) / ADAPTER, note)
        # A set otherwise, which each process writes in an order of its own.
        self.lora.target_modules = sorted(self.lora.target_modules)
        self.lora.save_pretrained(str(folder))
        self.config.save_pretrained(folder)


def base_of(folder: Path) -> str:
    """Path or hub name of the model that the adapter in this folder belongs to.

    Raises:
        FinetuningError: the adapter does not say, the model is not there, or it is another one by now.
    """
    place = read_adapter_config(folder).base_model_name_or_path
    if Path(place).is_absolute() and not Path(place).is_dir():
        raise FinetuningError(
            f"{folder}: this is an adapter of {place}, and there is no such folder; put the model back, or write its "
            f"new place as base_model_name_or_path into {folder / ADAPTER_CONFIG}"
        )
    expected, found = _digest(folder), Base.at(place).digest
    if None not in (expected, found) and expected != found:
        raise FinetuningError(
            f"{folder}: this is an adapter of {place}, whose weights are no longer those it was trained with; train "
            "it again, or put them back"
        )
    return place


def load_adapter(folder: Path, base: PreTrainedModel, head: type[PreTrainedModel]) -> PreTrainedModel:
    """The base with the folder's adapter merged into it: an ordinary model of class `head`.

    Raises:
        FinetuningError: peft is not installed, the configuration asks for more than the weights have, or weights are
            missing or unknown, which are named.
    """
    try:
        return _merged(folder, base, head)
    except FinetuningError:
        raise
    # A damaged file, a configuration of another model, names that fit nothing: each has errors of its own.
    except Exception as error:
        raise FinetuningError(f"{folder}: this adapter cannot be loaded: {error}") from error


def _merged(folder: Path, base: PreTrainedModel, head: type[PreTrainedModel]) -> PreTrainedModel:
    config, lora_config = ReformerConfig.from_pretrained(folder), read_adapter_config(folder).to_peft(folder)
    given = {name.removeprefix(PREFIX): weight for name, weight in load_file(folder / ADAPTER).items()}
    _check_sizes(folder, base, head, config, lora_config.r, given)
    # What is drawn here is overwritten.
    with torch.random.fork_rng():
        found = transfer(base, head, config)
        inject(found.model, lora_config)
    model = found.model
    ours = {_plain(name): weight for name, weight in model.state_dict().items()}
    needed = {name for name in ours if ".lora_" in name}
    needed |= {*found.new, *(_body(model) + name for name in found.drawn)}
    problems = {
        "missing in the adapter": needed - given.keys(),
        "unknown to the model": given.keys() - ours.keys(),
        "of another shape": {name for name in given.keys() & ours.keys() if given[name].shape != ours[name].shape},
    }
    told = [f"{why}: {', '.join(sorted(names))}" for why, names in problems.items() if names]
    if told:
        raise FinetuningError(f"{folder}: its weights do not fit their model; {'; '.join(told)}")
    with torch.no_grad():
        for name, weight in given.items():
            ours[name].copy_(weight)
    return merge_lora(model).eval()


def _plain(name: str) -> str:
    """A weight's name in the file; in the model peft adds the adapter's name, which is always the same."""
    return name.replace(".default.", ".")


def _body(model: PreTrainedModel) -> str:
    return "" if model.base_model is model else f"{model.base_model_prefix}."


def _check_sizes(
    folder: Path,
    base: PreTrainedModel,
    head: type[PreTrainedModel],
    config: ReformerConfig,
    rank: int,
    given: Mapping[str, Tensor],
) -> None:
    """Refuse to allocate what neither the base nor the adapter's weights have."""
    ranks = {len(weight) for name, weight in given.items() if ".lora_A." in name and weight.dim()}
    if ranks != {rank}:
        has = ", ".join(map(str, sorted(ranks))) or "none"
        raise FinetuningError(f"{folder / ADAPTER_CONFIG}: r = {rank}, and the rank of its weights is {has}")
    with torch.device("meta"):
        needed = sum(weight.numel() for weight in head(config).state_dict().values())
    held = sum(weight.numel() for weight in (*base.state_dict().values(), *given.values()))
    if needed > 2 * held + SPARE:
        raise FinetuningError(
            f"{folder}: its configuration asks for {needed:,} weights, and base and adapter have {held:,}"
        )


def _digest(folder: Path) -> str | None:
    try:
        with safe_open(folder / ADAPTER, "pt") as file:
            return (file.metadata() or {}).get(BASE_DIGEST)
    except (SafetensorError, OSError) as error:
        raise FinetuningError(f"{folder / ADAPTER}: these weights cannot be read: {error}; train it again") from None
