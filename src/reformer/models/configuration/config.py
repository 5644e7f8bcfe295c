"""Configuration of a Reformer, checked when it is made."""

import copy
import json
import os
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers.utils import CONFIG_NAME

from reformer.auto_classes import MODEL_TYPE
from reformer.models.configuration.checks import check
from reformer.models.configuration.fields import ReformerFields
from reformer.models.configuration.idle_options import idle_options
from reformer.models.configuration.remote_code import AUTO_MAP, write_module
from reformer.models.configuration.renamed_fields import RENAMED, with_new_names
from reformer.models.configuration.stored_fields import check_given, known_fields


@strict
class ReformerTorchConfig(ReformerFields):
    """Configuration of a Reformer: the fields of `ReformerFields`, which fit together.

    An option that would have no effect because another one is off is refused.

    Raises:
        ValueError: a field, or two together, that make no sense; the message says which, and what would.
    """

    model_type = MODEL_TYPE

    def __post_init__(self, **kwargs: Any) -> None:
        check_given(self, kwargs)
        renamed = {old: kwargs.pop(old) for old in RENAMED if old in kwargs}
        given = {name: value for name in RENAMED.values() if (value := getattr(self, name)) != self.default(name)}
        for name, value in with_new_names(renamed | given).items():
            setattr(self, name, value)
        self.attention_layers = list(self.attention_layers)
        self.num_hidden_layers = len(self.attention_layers)
        if not self.vocab_size:
            self.pad_token_id = None
        super().__post_init__(**kwargs)
        if self.is_encoder_decoder:
            self._fill_in_the_decoder()
        self.check()

    def check(self) -> None:
        """Check all fields. Loading may change single ones later, so a model checks its configuration again."""
        check(self)

    def to_dict(self) -> dict[str, Any]:
        """As transformers' `to_dict`; `num_key_value_heads` where it is a number, since peft multiplies by it if it is
        there."""
        fields = super().to_dict()
        return {name: value for name, value in fields.items() if (name, value) != ("num_key_value_heads", None)}

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """The configuration that `to_dict` has written. Idle options are left out, which a new configuration refuses: a
        saved one may be older than that check, or have lost the option that they belong to. So are fields that no
        Reformer has, of which a warning tells."""
        config_dict, kwargs = with_new_names(known_fields(config_dict)), with_new_names(kwargs)

        def given(name: str) -> Any:
            return config_dict.get(name, cls.default(name))

        try:
            idle = idle_options(given, cls.default)
        except TypeError:
            # A field of a wrong type, which the new configuration names.
            idle = {}
        kept = {name: value for name, value in config_dict.items() if name not in idle}
        return super().from_dict(kept, **kwargs)

    @classmethod
    def from_json_file(cls, json_file: str | os.PathLike[str]) -> Any:
        return cls.from_dict(cls._dict_from_json_file(json_file))

    @classmethod
    def _dict_from_json_file(cls, json_file: str | os.PathLike[str]) -> Any:
        try:
            return super()._dict_from_json_file(json_file)
        except RecursionError:
            raise ValueError(f"{json_file}: lists or objects within each other, too deep") from None

    def to_json_file(self, json_file_path: str | os.PathLike[str], use_diff: bool = True) -> None:
        """As transformers' `to_json_file`; that of a saved model also tells `trust_remote_code=True` where its class
        is, in a module beside it, which imports it from this package."""
        file = Path(json_file_path)
        if file.name != CONFIG_NAME:
            super().to_json_file(file, use_diff)
            return
        write_module(file.parent)
        fields = {"auto_map": AUTO_MAP} | json.loads(self.to_json_string(use_diff))
        file.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def register_for_auto_class(cls, auto_class: str = "AutoConfig") -> None:
        """As transformers' for classes derived from this one. For this one itself nothing is to be done: each saved
        model says where it is, and its source is not copied beside it."""
        if cls is not ReformerTorchConfig:
            super().register_for_auto_class(auto_class)

    def encoder_config(self) -> "ReformerTorchConfig":
        """Configuration of an encoder-decoder's encoder alone."""
        alone = copy.deepcopy(self)
        alone.is_encoder_decoder = False
        return alone._without_idle_options()

    def decoder_config(self) -> "ReformerTorchConfig":
        """Configuration of an encoder-decoder's decoder, without its cross attention."""
        alone = copy.deepcopy(self)
        alone.is_encoder_decoder = False
        alone.attention_layers = list(self.decoder_attention_layers or ())
        alone.num_hidden_layers = len(alone.attention_layers)
        alone.is_decoder = True
        alone.shortened_layers = self.decoder_shortened_layers
        return alone._without_idle_options()

    def _without_idle_options(self) -> "ReformerTorchConfig":
        # Without one of them another may have lost its effect.
        while idle := idle_options(partial(getattr, self), self.default):
            for name in idle:
                setattr(self, name, self.default(name))
        return self

    def _fill_in_the_decoder(self) -> None:
        if self.decoder_attention_layers is None:
            self.decoder_attention_layers = self.attention_layers
        self.decoder_attention_layers = list(self.decoder_attention_layers)
        if self.cross_attention_layers is None:
            self.cross_attention_layers = ["full"] * len(self.decoder_attention_layers)
        self.cross_attention_layers = list(self.cross_attention_layers)
        if self.decoder_start_token_id is None:
            self.decoder_start_token_id = self.pad_token_id if self.bos_token_id is None else self.bos_token_id


ReformerConfig = ReformerTorchConfig
"""The configuration, by the name that it has in this package. That of its class is not that of the configuration of
transformers' own Reformer, since their Auto classes tell configurations apart by it."""
