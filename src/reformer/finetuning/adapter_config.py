"""Configuration of an adapter, as peft writes it: the fields that say what it computes, of the right type and size."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reformer.finetuning.errors import FinetuningError
from reformer.finetuning.lora import peft_package

ADAPTER_CONFIG = "adapter_config.json"
MOST_BYTES = 1 << 24
MOST_RANK = 1 << 14

_WITHOUT_EFFECT = frozenset(
    {
        *("auto_mapping", "inference_mode", "init_lora_weights", "lora_dropout", "megatron_core", "peft_version"),
        *("qalora_group_size", "revision", "runtime_config", "task_type"),
        # Weights trained in full stand in the file under their own names; peft would look for them under others.
        "modules_to_save",
    }
)
"""Fields of peft that say how an adapter was trained, or that others give an effect. They are not read."""


class AdapterConfig(BaseModel, frozen=True, strict=True):
    """Fields of `adapter_config.json`."""

    model_config = ConfigDict(extra="allow")

    base_model_name_or_path: Annotated[str, Field(min_length=1)]
    peft_type: str
    r: Annotated[int, Field(ge=1, le=MOST_RANK)] = 8
    lora_alpha: Annotated[float, Field(allow_inf_nan=False)] = 8
    # As one text it would be a regular expression, which can take forever.
    target_modules: list[str] = []
    use_rslora: bool = False

    def to_peft(self, folder: Path) -> Any:
        """peft's `LoraConfig` of these fields.

        Raises:
            FinetuningError: peft is not installed; another kind of adapter, or a field that is not supported.
        """
        peft = peft_package()
        if self.peft_type != "LORA":
            raise FinetuningError(f"{folder}: this is an adapter of kind {self.peft_type}; expected LORA")
        plain = peft.LoraConfig()
        for name, value in (self.model_extra or {}).items():
            if name not in _WITHOUT_EFFECT and value and value != getattr(plain, name, None):
                raise FinetuningError(
                    f"{folder / ADAPTER_CONFIG}: {name[:40]} = {str(value)[:40]}: this kind of LoRA is not supported; "
                    "merge the adapter with peft, and give the merged model"
                )
        return peft.LoraConfig(
            r=self.r, lora_alpha=self.lora_alpha, target_modules=self.target_modules, use_rslora=self.use_rslora
        )


def read_adapter_config(folder: Path) -> AdapterConfig:
    """The configuration of the adapter in a folder.

    Raises:
        FinetuningError: it cannot be read, or a field is missing or of a wrong type or size.
    """
    file = folder / ADAPTER_CONFIG
    try:
        with file.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise FinetuningError(f"{file}: this is larger than {MOST_BYTES:,} bytes, and no adapter's configuration")
        return AdapterConfig.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part)[:40] for part in first["loc"])
        if first["type"] == "missing" or first["loc"] == ("base_model_name_or_path",):
            raise FinetuningError(f"{file}: it names no {name}; write it there") from None
        told = f"{name} = {str(first['input'])[:40]}: {first['msg'].replace('Input should be', 'expected')}"
        raise FinetuningError(
            f"{file}: {told if name else 'this cannot be read: ' + first['msg']}; train the adapter again"
        ) from None
    except OSError as error:
        raise FinetuningError(f"{file}: this cannot be read: {error}") from None
