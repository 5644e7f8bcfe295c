"""Data: readers of files, data sets, and tokenizers and labels that keep exact character offsets."""

from reformer.data.cache import cache_folder
from reformer.data.documents import Document, Span, drop_duplicates, join_documents, span_problem
from reformer.data.errors import DataError
from reformer.data.images import Image
from reformer.data.index import (
    DATA_SETS,
    PRETRAINED,
    SPLITS,
    DataSet,
    fetch,
    fetch_pretrained,
    load,
    load_cloze,
    load_digits,
    load_series,
    load_source,
    load_texts,
)
from reformer.data.labels import IGNORED, bio_labels, decode_spans, label_id, token_tags
from reformer.data.questions import Question
from reformer.data.readers import (
    FOLDER,
    FORMATS,
    column_values,
    file_format,
    first_records,
    format_of_records,
    read_documents,
    read_images,
    read_questions,
    read_series,
)
from reformer.data.series import Series, time_features
from reformer.data.texts import Stretch, find_text, open_text, read_bytes, split_text, text_pieces
from reformer.data.token_ids import TokenIds, encode_piece, token_ids
from reformer.data.tokenizers import (
    byte_ids_begin,
    byte_tokenizer,
    character_tokenizer,
    load_tokenizer,
    token_bytes,
)

__all__ = [
    "DATA_SETS",
    "FOLDER",
    "FORMATS",
    "IGNORED",
    "PRETRAINED",
    "SPLITS",
    "DataError",
    "DataSet",
    "Document",
    "Image",
    "Question",
    "Series",
    "Span",
    "Stretch",
    "TokenIds",
    "bio_labels",
    "byte_ids_begin",
    "byte_tokenizer",
    "cache_folder",
    "character_tokenizer",
    "column_values",
    "decode_spans",
    "drop_duplicates",
    "encode_piece",
    "fetch",
    "fetch_pretrained",
    "file_format",
    "find_text",
    "first_records",
    "format_of_records",
    "join_documents",
    "label_id",
    "load",
    "load_cloze",
    "load_digits",
    "load_series",
    "load_source",
    "load_texts",
    "load_tokenizer",
    "open_text",
    "read_bytes",
    "read_documents",
    "read_images",
    "read_questions",
    "read_series",
    "span_problem",
    "split_text",
    "text_pieces",
    "time_features",
    "token_bytes",
    "token_ids",
    "token_tags",
]
