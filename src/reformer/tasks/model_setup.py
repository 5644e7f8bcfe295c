"""Tokenizer and configuration of a run's model, fresh or from a pretrained start."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from reformer.data import byte_tokenizer, character_tokenizer, fetch_pretrained, load_tokenizer, token_bytes
from reformer.data.vocabulary import used_vocabulary
from reformer.errors import ReformerError
from reformer.finetuning import FinetuningError, changed_config, load_pretrained
from reformer.finetuning.vocabulary import keep_tokens
from reformer.models import ReformerConfig
from reformer.recipe import FROM_START, Recipe, TokenizerRecipe
from reformer.wording import counted


@dataclass(frozen=True)
class PretrainedStart:
    """Trained model that a run starts from; in a resumed run, configuration and tokenizer as the run changed them."""

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
        tokenizer = tokenizer_beside(self.place, self.tokenizer_place)
        if tokenizer.pad_token_id is None:
            raise FinetuningError(f"{self.place}: its tokenizer has no padding token; add one to it")
        if self.model is not None:
            _check_same_tokenizer(self.place, tokenizer, recipe)
        if len(tokenizer) > self.config.vocab_size:
            raise FinetuningError(
                f"{self.place}: its tokenizer has {counted(len(tokenizer), 'token')} and its model embeds "
                f"{self.config.vocab_size}; "
                "give a model that was saved with its own tokenizer"
            )
        return tokenizer

    def config_with(self, chosen: Mapping[str, Any], decided: Mapping[str, Any]) -> ReformerConfig:
        """The configuration of the run's model.

        Args:
            chosen: the fields under `[model]` of the recipe.
            decided: the fields that task and data decide, which come before all others.

        Raises:
            FinetuningError: the trained weights do not allow a choice.
        """
        if self.model is None:
            return self.config
        scores_vocabulary = self.model.get_output_embeddings() is not None
        config = changed_config(self.config, chosen, has_vocabulary_head=scores_vocabulary)
        return ReformerConfig.from_dict(config.to_dict() | {"problem_type": None} | dict(decided))


TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "sentencepiece.bpe.model")
"""Files of which transformers makes a tokenizer."""


def tokenizer_beside(name: str, place: str) -> PreTrainedTokenizerFast:
    """The tokenizer that was saved with the model at a place, which messages call `name`.

    Raises:
        FinetuningError: there is none.
        DataError: it is broken.
    """
    # Where there is none, transformers would make an empty one.
    if Path(place).is_dir() and not any((Path(place) / file).is_file() for file in TOKENIZERS):
        raise FinetuningError(f"{name}: there is no tokenizer beside this model; save its tokenizer there")
    return load_tokenizer(place)


def read_start(place: str, *, accept_licence: bool = False) -> PretrainedStart:
    """The trained model at a place; for places, licences and errors, see `load_pretrained`. `index:NAME` is a
    pretrained model of the package index."""
    folder = local_place(place)
    model = load_pretrained(folder, accept_licence=accept_licence)
    assert isinstance(model.config, ReformerConfig)
    return PretrainedStart(place, folder, model.config, model)


def local_place(place: str) -> str:
    """The folder of a pretrained model of the package index, `index:NAME`; any other place as it is."""
    name = place.removeprefix("index:")
    return place if name == place else str(fetch_pretrained(name))


def check_length(recipe: Recipe, length: int, what: str) -> None:
    """Raise `ValueError` that begins with `what` if a sequence of so many tokens is longer than the recipe's model
    reads. Of a model that the run starts from nothing is known yet."""
    longest = recipe.model.get("max_position_embeddings", ReformerConfig.max_position_embeddings)
    if isinstance(longest, int) and length > longest:
        raise ValueError(f"{what}: more than model.max_position_embeddings = {longest}; raise that one")


def make_tokenizer(
    recipe: TokenizerRecipe, texts: Iterable[str], start: PretrainedStart | None = None
) -> PreTrainedTokenizerFast:
    """The tokenizer of the model that the run starts from, or else the recipe's; `texts` are what characters or pieces
    are counted in, the training texts alone. With `vocabulary = "used"` the start's model loses what its tokenizer
    does."""
    if start is not None:
        tokenizer = start.tokenizer(recipe)
        # In a resumed run the tokenizer that was kept has been cut before.
        if recipe.vocabulary != "used" or start.model is None:
            return tokenizer
        tokenizer, kept = used_vocabulary(tokenizer, texts)
        keep_tokens(start.model, kept)
        return tokenizer
    if recipe.kind == "byte":
        return byte_tokenizer()
    if recipe.kind != "character":
        tokenizer = load_tokenizer(recipe.kind)
        if tokenizer.pad_token_id is None:
            raise ReformerError(f"tokenizer.kind = {recipe.kind!r}: this tokenizer has no padding token; add one to it")
        return tokenizer
    chosen = recipe.model_dump(include={"vocab_size", "min_frequency"}, exclude_none=True)
    return character_tokenizer(texts, **chosen)


def make_config(
    recipe: Recipe, tokenizer: PreTrainedTokenizerFast | None, start: PretrainedStart | None = None, **decided: Any
) -> ReformerConfig:
    """The recipe's model, over that of the model that the run starts from, with what tokenizer and task decide.
    A model without a tokenizer reads vectors."""
    if tokenizer is None:
        if start is not None:
            return start.config_with(recipe.model, decided | {"vocab_size": 0})
        return ReformerConfig(**(recipe.model | decided), vocab_size=0)
    pad_token_id = tokenizer.pad_token_id
    assert isinstance(pad_token_id, int)
    if start is not None:
        # Not the vocabulary's size: embeddings may have rows to spare.
        return start.config_with(recipe.model, decided | {"pad_token_id": pad_token_id})
    return ReformerConfig(**(recipe.model | decided), vocab_size=len(tokenizer), pad_token_id=pad_token_id)


def _check_same_tokenizer(place: str, tokenizer: PreTrainedTokenizerFast, recipe: TokenizerRecipe) -> None:
    if recipe.kind == FROM_START:
        return
    if recipe.kind == "byte":
        same = tokenizer.get_vocab() == byte_tokenizer().get_vocab()
    elif recipe.kind == "character":
        # The texts that its characters were counted in are not at hand; only the kind and the size can be compared.
        same = token_bytes(tokenizer) is not None and len(tokenizer) <= (recipe.vocab_size or len(tokenizer))
    else:
        same = load_tokenizer(recipe.kind).get_vocab() == tokenizer.get_vocab()
    if not same:
        given = ", ".join(f"{name} = {value!r}" for name, value in recipe.model_dump(exclude_none=True).items())
        raise FinetuningError(
            f"[tokenizer] {given} is another tokenizer than that of {place}, which the trained weights belong to; "
            "leave [tokenizer] out"
        )
