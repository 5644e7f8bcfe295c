"""Loading of a data set, or of a recipe's source, by name."""

from collections.abc import Iterator
from typing import Literal, overload

from reformer.data.documents import Document
from reformer.data.errors import DataError, OnError, raise_error
from reformer.data.index._archive import fetch
from reformer.data.index._chinese_reviews import read_chinese_reviews
from reformer.data.index._cloze import read_cloze
from reformer.data.index._msra_ner import read_msra_ner
from reformer.data.index._people_daily import read_people_daily, read_people_daily_words
from reformer.data.index._registry import data_set
from reformer.data.index._web_articles import read_web_articles
from reformer.data.questions import Question
from reformer.data.readers._documents import SPANS, read_documents
from reformer.data.spans import SpanReading

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

_PREFIX = "index:"
_READERS = {
    "people-daily": read_people_daily,
    "people-daily-words": read_people_daily_words,
    "chinese-reviews": read_chinese_reviews,
    "msra-ner": read_msra_ner,
    "web-articles": read_web_articles,
}
_LOADERS = {
    "people-daily-cloze": "load_cloze(page_length), for questions",
    "digits": "load_digits(), for images",
    "digit-captions": "load_digits(captions=True), for images",
}


@overload
def load(name: str, *, split: None = None) -> dict[str, list[Document]]: ...
@overload
def load(name: str, *, split: str) -> list[Document]: ...
def load(name: str, *, split: str | None = None) -> dict[str, list[Document]] | list[Document]:
    """The documents of a data set by split, or those of one split; fetched first when they are not here.

    - `people-daily`: a document a paragraph, in newspaper order, spans PER, LOC, ORG. Test is the last 10 % of
      the paragraphs, validation the 5 % before them in the first 90 %. A paragraph whose text stands in test
      or validation is taken out of train, and one that stands in test out of validation.
    - `people-daily-words`: the same documents, with a span for each word: PER, LOC, ORG, and the newspaper's tag of
      its part of speech for all others.
    - `chinese-reviews`: a document a review, label `pos` or `neg`, without duplicates and without texts of both
      labels; 80 / 10 / 10 % of each label, by a hash of the text.
    - `msra-ner`: a document a chunk of at most 100 characters, spans PER, LOC, ORG; the official test split, and
      the last 5 % of train for validation.
    - `web-articles`: a document an article, label `0`, `1` or `2`; the official splits, and each text once.

    Raises `DataError` for a name or a split there is not, and for a data set without documents (`enwik8`, the series).
    """
    if split is not None and split not in SPLITS:
        raise DataError(None, None, f"there is no split {split!r}", f"use one of {', '.join(SPLITS)}")
    entry = data_set(name)
    if name not in _READERS:
        files = " ".join(member.name for member in entry.members)
        remedy = _LOADERS.get(name, f"fetch({name!r}) and read {files}")
        raise DataError(None, None, f"the data set {name!r} has no documents", f"use {remedy}")
    splits = _READERS[name](fetch(name))
    return splits if split is None else splits[split]


def load_cloze(page_length: int) -> dict[str, list[Question]]:
    """Questions by split, made of `people-daily`: sentences whose name is left out, and the page of at most
    `page_length` characters that has it. See `reformer.data.index._cloze`."""
    return read_cloze(load("people-daily"), page_length)


def load_source(
    source: str,
    *,
    split: str | None = None,
    format: str | None = None,
    text_column: str = "text",
    label_column: str | None = "label",
    label_separator: str | None = None,
    spans: SpanReading = SPANS,
    encoding: str | None = None,
    header: bool = True,
    on_error: OnError = raise_error,
) -> Iterator[Document]:
    """The documents that a recipe or a command names: `index:NAME` with a split, or the path of a file.

    All but `split` are those of `read_documents`, for files only. A split is
    needed for a data set and refused for a file, which has none.
    """
    if source.startswith(_PREFIX):
        name = source.removeprefix(_PREFIX)
        if split is None:
            data_set(name)
            raise DataError(None, None, f"{source} names no split", f"name one of {', '.join(SPLITS)}")
        yield from load(name, split=split)
        return
    if split is not None:
        raise DataError(
            source,
            None,
            f"a file has no splits, and {split!r} was asked for",
            "give a file for each split, or a data set as index:NAME",
        )
    yield from read_documents(
        source,
        format=format,
        text_column=text_column,
        label_column=label_column,
        label_separator=label_separator,
        spans=spans,
        encoding=encoding,
        header=header,
        on_error=on_error,
    )
