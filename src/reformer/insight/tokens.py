"""Tokens of data under a recipe: characters that its tokenizer does not know, and texts that its model cannot take."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from reformer.data import DataError, Document
from reformer.models import ReformerConfig
from reformer.recipe import FROM_START, Recipe
from reformer.tasks.model_setup import make_tokenizer
from reformer.wording import counted

MOST_NAMED = 20
"""Unknown characters that a line names, at most."""


class TokenCheck:
    """Check of documents against the tokenizer and the greatest length of a recipe.

    Args:
        train: what the tokenizer is made of, where the recipe makes one of characters.
    """

    def __init__(self, recipe: Recipe, train: Sequence[Document]) -> None:
        kind = recipe.tokenizer.kind
        self._known = kind in ("character", "byte") or Path(kind).exists()
        self._tokenizer: Any = None
        if self._known and train:
            self._tokenizer = make_tokenizer(recipe.tokenizer, (document.text for document in train), None)
        self._kind = kind
        fresh = recipe.finetune.start_from is None
        longest = recipe.model.get("max_position_embeddings")
        self._longest: int | None = ReformerConfig().max_position_embeddings if fresh and longest is None else longest
        self._max_length: int | None = getattr(recipe.data, "joined_length", None)

    def check(self, documents: Sequence[Document], on_error: Callable[[DataError], object]) -> Iterator[str]:
        """Lines about unknown characters; a text that is too long for the model is an error.

        A text longer than `data.max_length` is cut before the model reads it, so that it is no error.
        """
        if self._tokenizer is None:
            if self._kind == FROM_START or not self._known:
                yield f"the tokenizer {self._kind!r} is not loaded for this check: lengths in tokens were not looked at"
            return
        unknown: Counter[str] = Counter()
        characters = 0
        for document in documents:
            encoded = self._tokenizer(
                document.text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
            ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
            characters += len(document.text)
            spelled: set[tuple[int, int]] = set()
            before = (0, 0)
            for token, (start, end) in zip(ids, offsets, strict=True):
                # A character that the vocabulary lacks is spelled in bytes, each with the character's place.
                if token == self._tokenizer.unk_token_id or (self._kind != "byte" and before == (start, end) != (0, 0)):
                    unknown[document.text[start:end]] += (start, end) not in spelled
                    spelled.add((start, end))
                before = (start, end)
            is_cut = self._max_length is not None and len(document.text) > self._max_length
            if self._longest is not None and len(ids) > self._longest and not is_cut:
                told = f"the text has {counted(len(ids), 'token')}, and the model takes at most {self._longest:,}"
                remedy = "split it, or set a greater model.max_position_embeddings"
                on_error(DataError.at(document.source or document.id, told, remedy))
        if unknown:
            shown = " ".join(name for name, _ in unknown.most_common(MOST_NAMED))
            yield (
                f"{unknown.total():,} of {characters:,} characters are none that the tokenizer knows, {len(unknown):,} "
                f"different ones: {shown}"
            )
