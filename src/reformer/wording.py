"""Words of messages: numbers of things."""

_SINGULAR = {"have": "has", "are": "is", "were": "was"}


def counted(number: int, noun: str, verb: str = "") -> str:
    """So many things, in the singular where there is one.

    Args:
        noun: in the singular.
        verb: what they do, in the plural.

    >>> counted(1, "text"), counted(1200, "entity"), counted(0, "class"), counted(2, "day")
    ('1 text', '1,200 entities', '0 classes', '2 days')
    >>> counted(1, "text", "have"), counted(2, "text", "have"), counted(1, "id", "stand")
    ('1 text has', '2 texts have', '1 id stands')
    """
    if number != 1:
        end = "ies" if noun.endswith("y") and noun[-2] not in "aeiou" else ""
        noun = f"{noun[:-1]}{end}" if end else f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"
    elif verb:
        verb = _SINGULAR.get(verb, f"{verb}s")
    return f"{number:,} {noun} {verb}".rstrip()
