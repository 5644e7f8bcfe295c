"""All formats whose records are JSON."""

from typing import Any

from reformer.data.formats._cluener import CLUENER
from reformer.data.formats._doccano import DOCCANO
from reformer.data.formats._jsonl import CMEEE, JSONL
from reformer.data.formats._label_studio import LABEL_STUDIO, LABEL_STUDIO_PREDICTIONS
from reformer.data.formats._prodigy import PRODIGY
from reformer.data.formats._spacy import SPACY
from reformer.data.formats._tokens import TOKENS
from reformer.data.formats.record import Asked, JsonFormat

_FORMATS = (JSONL, DOCCANO, LABEL_STUDIO, LABEL_STUDIO_PREDICTIONS, PRODIGY, SPACY, TOKENS, CLUENER, CMEEE)
JSON_FORMATS = {each.name: each for each in _FORMATS}
# What distinguishes a record is looked for first; JSONL's is a text alone.
_BY_CONTENT = (SPACY, LABEL_STUDIO, TOKENS, CLUENER, JSONL)


def format_of(record: Any, asked: Asked) -> JsonFormat:
    """The format that a record has by its fields."""
    return next((each for each in _BY_CONTENT if each.matches(record, asked)), JSONL)
