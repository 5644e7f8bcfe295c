"""Readers of documents, questions, images and series from files."""

from reformer.data.readers._documents import FORMATS, file_format, read_documents
from reformer.data.readers._first_records import first_records
from reformer.data.readers._images import read_images
from reformer.data.readers._questions import read_questions
from reformer.data.readers._record import check_utf8
from reformer.data.readers._series import read_series

__all__ = [
    "FORMATS",
    "check_utf8",
    "file_format",
    "first_records",
    "read_documents",
    "read_images",
    "read_questions",
    "read_series",
]
