"""Progress bars and reports of transformers, switched off while a model is loaded or saved."""

from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Context without transformers' progress bars, which would break into ours; restored afterwards."""
    were_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if were_shown:
            logging.enable_progress_bar()


@contextmanager
def no_load_report() -> Iterator[None]:
    """Context without progress bars and without transformers' table of weights that did not fit, which we tell of
    ourselves; restored afterwards."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with no_progress_bars():
            yield
    finally:
        logging.set_verbosity(before)
