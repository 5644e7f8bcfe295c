"""Readers of documents, questions, images and series from files."""

from reformer.data.readers._documents import FOLDER, FORMATS, SUFFIXES, file_format, read_documents
from reformer.data.readers._encodings import for_iconv, likely_encoding
from reformer.data.readers._first_records import column_values, first_records
from reformer.data.readers._images import read_images
from reformer.data.readers._questions import read_questions
from reformer.data.readers._record import check_utf8
from reformer.data.readers._series import read_panel, read_series
from reformer.data.readers._series_options import SeriesOptions
from reformer.data.readers._source import Source
from reformer.data.readers._table_form import NO_HEADER
from reformer.data.readers._text import format_of_records

__all__ = [
    "FOLDER",
    "FORMATS",
    "NO_HEADER",
    "SUFFIXES",
    "SeriesOptions",
    "Source",
    "check_utf8",
    "column_values",
    "file_format",
    "first_records",
    "for_iconv",
    "format_of_records",
    "likely_encoding",
    "read_documents",
    "read_images",
    "read_panel",
    "read_questions",
    "read_series",
]
