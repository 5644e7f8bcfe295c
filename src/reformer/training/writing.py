"""What an encoder-decoder writes for texts in a stream: in their order, in constant memory."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from reformer.data import Document
from reformer.data.errors import OnError, raise_error
from reformer.training.batches import TokenBatches
from reformer.training.examples import pad
from reformer.training.predict import portions, readable

if TYPE_CHECKING:
    from reformer.training.run import Run

# A batch of this many tokens of source, padding included, unless one text has more: what is written costs more than
# what is read, and is held in the cache.
BATCH_TOKENS = 4096

TOKENS_FOR_EACH, TOKENS_TO_SPARE = 6, 32
"""At most so many tokens are written for each of the source's, and so many more: one that never ends ends there."""


def write_answers(
    run: "Run[Any]",
    documents: Iterable[Document],
    on_error: OnError = raise_error,
    *,
    beams: int = 1,
    batch_tokens: int = BATCH_TOKENS,
) -> Iterator[tuple[Document, str]]:
    """Each document with what the model writes for it, in the documents' order.

    However many there are, only a few thousand tokens' worth of them are held. A document that the model cannot take
    (no token, or more than its maximum) goes to `on_error`, and the next one is read; without `on_error` it is raised.
    """
    for portion in portions(readable(run, documents), on_error):
        texts: dict[int, str] = {}
        for indices in TokenBatches([len(encoded.ids) for encoded in portion], batch_tokens=batch_tokens):
            batch = pad([portion[index].ids for index in indices], run.model.config.pad_token_id)
            inputs = {name: batch[name].to(run.model.device) for name in ("input_ids", "attention_mask")}
            with torch.inference_mode():
                written = write_texts(run.model, run.tokenizer, inputs, inputs["attention_mask"].sum(-1), beams=beams)
            texts.update(zip(indices, written, strict=True))
        for index, encoded in enumerate(portion):
            yield encoded.document, texts[index]


def write_texts(
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    inputs: Mapping[str, Tensor],
    lengths: Int[Tensor, " batch"],
    *,
    beams: int = 1,
) -> list[str]:
    """The likeliest text for each source, token by token or along several beams, and never more than six tokens for
    each of its own and 32. A text does not depend on its batch-mates: each is cut at its own bound.

    Args:
        model: an encoder-decoder.
        tokenizer: of what it writes.
        inputs: the sources, as `model.generate` takes them.
        lengths: how many tokens each source is.
        beams: how many texts to follow at a time.
    """
    config = model.config
    bounds = (TOKENS_FOR_EACH * lengths + TOKENS_TO_SPARE).clamp_max(config.max_position_embeddings)
    bounds = bounds.tolist()
    made = model.generate(
        **inputs,
        max_new_tokens=max(bounds),
        num_beams=beams,
        do_sample=False,
        use_cache=True,
        pad_token_id=config.pad_token_id,
        eos_token_id=config.eos_token_id,
        decoder_start_token_id=config.decoder_start_token_id,
    )
    # The first is the start token.
    ids = [row[1 : 1 + bound] for row, bound in zip(made.tolist(), bounds, strict=True)]
    texts = tokenizer.batch_decode([_until(row, config.eos_token_id) for row in ids], skip_special_tokens=True)
    assert isinstance(texts, list)
    return texts


def _until(ids: list[int], end: int) -> list[int]:
    return ids[: ids.index(end)] if end in ids else ids
