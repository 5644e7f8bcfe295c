"""The one kind of error that is the user's to mend: commands print it without a traceback."""


class ReformerError(Exception):
    """What was given, what was expected, and what to do about it, in one message."""
