"""The trained model that a run starts from, as its recipe's `finetune.start_from` names it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from reformer.data import byte_tokenizer, load_tokenizer, token_bytes
from reformer.finetuning import FinetuningError, changed_config, load_pretrained
from reformer.models import ReformerConfig
from reformer.training.recipe import FROM_START, TokenizerRecipe

CHANGES = "changes.json"


@dataclass(frozen=True)
class Start:
    """A trained model; or, in a resumed run, what its first part has made of it."""

    place: str
    """As the recipe names it."""
    tokenizer_place: str
    config: ReformerConfig
    model: PreTrainedModel | None
    """None where a run is resumed: its checkpoint has the weights."""

    def tokenizer(self, recipe: TokenizerRecipe) -> PreTrainedTokenizerFast:
        """The trained model's own tokenizer.

        Raises:
            FinetuningError: there is none, or the recipe says that it is another one.
            DataError: it is broken.
        """
        place = Path(self.tokenizer_place)
        # Where there is none, transformers would make an empty one.
        if place.is_dir() and not (place / "tokenizer.json").is_file():
            raise FinetuningError(f"{self.place}: there is no tokenizer beside this model; save its tokenizer there")
        found = load_tokenizer(self.tokenizer_place)
        if found.pad_token_id is None:
            raise FinetuningError(f"{self.place}: its tokenizer has no padding token; add one to it")
        if self.model is not None:
            _check_same_tokenizer(self.place, found, recipe)
        if len(found) > self.config.vocab_size:
            raise FinetuningError(
                f"{self.place}: its tokenizer has {len(found)} tokens and its model embeds {self.config.vocab_size}; "
                "give a model that was saved with its own tokenizer"
            )
        return found

    def config_with(self, chosen: Mapping[str, Any], decided: Mapping[str, Any]) -> ReformerConfig:
        """The configuration of the run's model.

        Args:
            chosen: what the recipe says under `[model]`.
            decided: what task and data say, which goes before all else.

        Raises:
            FinetuningError: the trained weights do not allow a choice.
        """
        if self.model is None:
            return self.config
        config = changed_config(self.config, chosen)
        return ReformerConfig.from_dict(config.to_dict() | {"problem_type": None} | dict(decided))


def read_start(place: str) -> Start:
    """The trained model at a place; for what a place is, and what can be wrong about it, see `load_pretrained`."""
    model = load_pretrained(place)
    assert isinstance(model.config, ReformerConfig)
    return Start(place, place, model.config, model)


def kept_start(place: str, folder: Path) -> Start:
    """What `keep_start` has kept there; the trained model is not read again."""
    return Start(place, str(folder), ReformerConfig.from_pretrained(folder), None)


def keep_start(folder: Path, config: ReformerConfig, processor: Any, changes: Mapping[str, Any]) -> None:
    """Keep what a resumed run needs beside its checkpoint, and what was changed for `metrics.json`."""
    folder.mkdir()
    config.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    (folder / CHANGES).write_text(json.dumps(changes, ensure_ascii=False), encoding="utf-8")


def changes_in_words(changes: Mapping[str, Any]) -> Iterator[str]:
    """Lines for whoever starts the run: which weights are not the trained model's, and which of those are not used."""
    words = {"new": "new weights", "dropped": "not taken", "drawn": "hash rotations drawn anew"}
    for kind, meaning in words.items():
        if changes.get(kind):
            yield f"{meaning}: {', '.join(changes[kind])}"


def kept_changes(folder: Path) -> Any:
    """What was changed when the run began."""
    return json.loads((folder / CHANGES).read_text(encoding="utf-8"))


def _check_same_tokenizer(place: str, found: PreTrainedTokenizerFast, recipe: TokenizerRecipe) -> None:
    if recipe.kind == FROM_START:
        return
    if recipe.kind == "byte":
        same = found.get_vocab() == byte_tokenizer().get_vocab()
    elif recipe.kind == "character":
        # Which characters it knows was counted when it was made, and cannot be counted again.
        same = token_bytes(found) is not None and len(found) <= (recipe.vocab_size or len(found))
    else:
        same = load_tokenizer(recipe.kind).get_vocab() == found.get_vocab()
    if not same:
        given = ", ".join(f"{name} = {value!r}" for name, value in recipe.model_dump(exclude_none=True).items())
        raise FinetuningError(
            f"[tokenizer] {given} is another tokenizer than that of {place}, which the trained weights belong to; "
            "leave [tokenizer] out"
        )
