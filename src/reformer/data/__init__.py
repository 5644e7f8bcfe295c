"""Files in, documents with exact character offsets out; tokenizers and labels that keep the offsets."""

from reformer.data.documents import Document, Span, drop_duplicates, join_documents, span_problem
from reformer.data.errors import DataError
from reformer.data.index import DATA_SETS, SPLITS, DataSet, cache_folder, fetch, load, load_source
from reformer.data.labels import IGNORED, bio_labels, decode_spans, label_id, token_tags
from reformer.data.readers import FORMATS, read_documents
from reformer.data.tokenizers import byte_tokenizer, character_tokenizer, load_tokenizer

__all__ = [
    "DATA_SETS",
    "FORMATS",
    "IGNORED",
    "SPLITS",
    "DataError",
    "DataSet",
    "Document",
    "Span",
    "bio_labels",
    "byte_tokenizer",
    "cache_folder",
    "character_tokenizer",
    "decode_spans",
    "drop_duplicates",
    "fetch",
    "join_documents",
    "label_id",
    "load",
    "load_source",
    "load_tokenizer",
    "read_documents",
    "span_problem",
    "token_tags",
]
