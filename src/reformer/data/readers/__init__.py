"""Readers of files of documents, one format a file."""

from reformer.data.readers._documents import FORMATS, read_documents
from reformer.data.readers._images import read_images
from reformer.data.readers._questions import read_questions
from reformer.data.readers._series import read_series

__all__ = [
    "FORMATS",
    "read_documents",
    "read_images",
    "read_questions",
    "read_series",
]
