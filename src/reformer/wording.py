"""Words of messages: numbers of things, bytes and times."""

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


def bytes_in_words(size: float) -> str:
    """So many bytes, in the greatest unit of which there is one.

    >>> bytes_in_words(12), bytes_in_words(1536), bytes_in_words(3 << 30)
    ('12 bytes', '1.5 KiB', '3.0 GiB')
    """
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def seconds_in_words(seconds: float) -> str:
    """So long, in the unit that leaves few digits.

    >>> seconds_in_words(0.25), seconds_in_words(90), seconds_in_words(600), seconds_in_words(360000)
    ('250 ms', '90.0 s', '10.0 min', '4.2 days')
    """
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    for unit, most in (("s", 120), ("min", 120), ("h", 48)):
        if seconds < most:
            return f"{seconds:.1f} {unit}"
        seconds /= 60 if unit != "h" else 24
    return f"{seconds:.1f} days"
