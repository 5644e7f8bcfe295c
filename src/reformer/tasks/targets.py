"""Target texts as token ids with an end token, and back."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from reformer.data import IGNORED, DataError
from reformer.data.batching.encoding import few_lengths, padded
from reformer.data.readers import check_utf8
from reformer.errors import ReformerError
from reformer.wording import counted


class Targets:
    """Encoder of target texts, with the tokens that begin and end them: the tokenizer's own, or those around a text.

    Args:
        tokenizer: of source and target.
        kind: what the recipe calls it.

    Raises:
        ReformerError: a tokenizer without an end token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, kind: str) -> None:
        begin = tokenizer.cls_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        end = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
        if end is None:
            raise ReformerError(
                f"tokenizer.kind = {kind!r}: it has neither an end nor a separator token; add one to it"
            )
        begin = tokenizer.pad_token_id if begin is None else begin
        assert isinstance(begin, int)
        assert isinstance(end, int)
        self._tokenizer = tokenizer
        self.begin, self.end = begin, end

    @property
    def fields(self) -> dict[str, int]:
        """Fields of an encoder-decoder's configuration that name them."""
        return {"decoder_start_token_id": self.begin, "bos_token_id": self.begin, "eos_token_id": self.end}

    def ids(self, text: str, source: str, longest: int) -> Int[np.ndarray, " length"]:
        """The tokens of a target, its end included.

        Raises:
            DataError: at `source`, a target of more than `longest` tokens.
        """
        ids = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if len(ids) + 1 > longest:
            raise DataError.at(
                source,
                f"the target has {counted(len(ids) + 1, 'token')}, its end included, and the model writes at most "
                f"{longest:,}",
                "split the pair, or train with a greater model.max_position_embeddings",
            )
        return np.array([*ids, self.end], dtype=np.int64)

    def stack(self, targets: Sequence[Int[np.ndarray, " _"]]) -> Int[Tensor, "batch length"]:
        """Targets as `labels`, padded."""
        return padded(targets, few_lengths(max(len(target) for target in targets)), IGNORED)

    def texts(self, labels: Int[Tensor, "batch length"]) -> list[str]:
        """The texts of labels."""
        targets = [row[(row != IGNORED) & (row != self.end)].tolist() for row in labels]
        return [str(self._tokenizer.decode(ids, skip_special_tokens=True)) for ids in targets]


def require_target(text: str | None, source: str, what: str, column: str) -> str:
    """The target of a record, which has one that UTF-8 can encode.

    Raises:
        DataError: at `source`, if it has none, or half of a surrogate pair in it.
    """
    if text is None:
        raise DataError.at(source, f"this {what} has no {column}", "give it one, and check label_column")
    check_utf8(text, source, f"the {column}")
    return text
