"""Text encodings other than UTF-8: which one bytes are in, and files in them read as UTF-8."""

import codecs
import io
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by the byte order mark of a file. That of UTF-32 begins with that of UTF-16, and stands first."""

_PUNCTUATION = "，。！？、；：“”（）《》…「」"
_WESTERN = "äöüßÄÖÜéèêëàâáíóúñçåøæÉÑ’“”‘–—…€îïôûùœìòãõÅ£°§«»¿¡"
_CENTRAL = "ěščřžýáíéůúőűąćęłńóśźżďťňľŠČŘŽÝÁÍÉŮÚŁŚŻ’“”‘–—…"
MIN_SHARE = 0.6
"""Of the characters beyond ASCII, so many must be frequent ones of a language of the encoding, at least."""
MIN_BYTES = 16
"""Bytes beyond ASCII, at least, for a guess of the library."""
MIN_HANGUL = 20
"""Syllables from which a text that has no other character beyond ASCII is Korean."""


def is_utf8(encoding: str | None) -> bool:
    """Whether an encoding's name stands for UTF-8, as None does."""
    return encoding is None or _normal(encoding) in ("utf-8", "utf-8-sig", "ascii")


def is_encoding(name: str) -> bool:
    """Whether there is a text encoding of this name."""
    try:
        "".encode(name)
    except (LookupError, ValueError):
        return False
    return True


def recoded(stream: Any, encoding: str, fault: Callable[[UnicodeError], Exception]) -> io.BufferedReader:
    """The bytes of `stream`, which are in `encoding`, as UTF-8; the first that are not raise `fault`."""
    return io.BufferedReader(_Recoded(stream, codecs.getincrementaldecoder(encoding)(), fault))


class _Recoded(io.RawIOBase):
    def __init__(
        self, stream: Any, decoder: codecs.IncrementalDecoder, fault: Callable[[UnicodeError], Exception]
    ) -> None:
        self._stream, self._decoder, self._fault, self._held = stream, decoder, fault, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._held:
            chunk = self._stream.read(len(buffer))
            try:
                self._held = self._decoder.decode(chunk, not chunk).encode("utf-8", "surrogatepass")
            except UnicodeError as error:
                raise self._fault(error) from None
            if not chunk:
                break
        size = min(len(buffer), len(self._held))
        buffer[:size], self._held = self._held[:size], self._held[size:]
        return size

    def close(self) -> None:
        self._stream.close()
        super().close()


# Every bad line of a file asks again for the same first bytes.
@lru_cache(maxsize=8)
def likely_encoding(data: bytes) -> str | None:
    """The encoding that bytes which are not UTF-8 are in, as Python names it; None if nothing speaks for one.

    A byte order mark tells it, then zeros, then the share of characters that are frequent in languages that are
    written in each of the commonest encodings: that tells a line of ten characters, as charset-normalizer, which is
    asked about the others, does not.

    >>> likely_encoding("不错,pos".encode("gb18030")), likely_encoding("schön".encode("latin-1"))
    ('gb18030', 'cp1252')
    """
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            return name
    zeros = data.count(0)
    if zeros * 5 > len(data) and zeros:
        return "utf-16-le" if data[1::2].count(0) >= data[::2].count(0) else "utf-16-be"
    # The sample may end within a character.
    data = data[: data.rfind(b"\n") + 1] or data
    shares = {name: _share(data, name, is_frequent) for name, is_frequent in _FREQUENT.items()}
    best = max(shares, key=lambda name: shares[name])
    if shares["cp949"] == 1.0 and _is_korean(data.decode("cp949")):
        return "cp949"
    return best if shares[best] >= MIN_SHARE else _by_library(data)


def for_iconv(encoding: str) -> str:
    """The name of an encoding as `iconv` knows it."""
    name = _normal(encoding).upper()
    return name if name == "SHIFT_JIS" else name.replace("_", "-")


def _normal(encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        return encoding


def _by_library(data: bytes) -> str | None:
    from charset_normalizer import from_bytes

    if sum(byte > 127 for byte in data) < MIN_BYTES:
        return None
    found = from_bytes(data).best()
    return None if found is None or found.encoding in ("ascii", "utf_8") else found.encoding


def _share(data: bytes, encoding: str, is_frequent: Callable[[str], float]) -> float:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return 0.0
    if encoding == "cp1251":
        # Letters of Cyrillic that touch Latin ones, or stand alone, are accents of another encoding.
        text = re.sub(r"[A-Za-z]+[^\x00-\x7f]+|[^\x00-\x7f]+[A-Za-z]+|\b[^\x00-\x7f]\b", "\x81", text)
    wide = [character for character in text if ord(character) > 127]
    return sum(map(is_frequent, wide)) / max(1, len(wide))


def _is_korean(text: str) -> bool:
    """Whether a text of Hangul alone is Korean: the bytes of all its syllables are those of half of the frequent
    characters of Chinese, too, which stand without blanks."""
    syllables = "[\uac00-\ud7a3]"
    return bool(re.search(f"{syllables} {syllables}", text)) or len(re.findall(syllables, text)) >= MIN_HANGUL


def _is_frequent_chinese(character: str) -> float:
    """Whether a character is among the 3,755 of the first level of GB 2312, or a mark."""
    try:
        return float(character in _PUNCTUATION or 0xB0 <= character.encode("gb2312")[0] <= 0xD7)
    except UnicodeEncodeError:
        return 0.0


def _is_frequent_traditional(character: str) -> float:
    """Whether a character is among the 5,401 of the first level of Big5, or a mark."""
    return 0.99 * (character in _PUNCTUATION or 0xA4 <= character.encode("big5")[0] <= 0xC6)


def _is_japanese(character: str) -> float:
    if character in _PUNCTUATION or "\u3040" <= character < "\u3100":
        return 1.0
    return 0.6 * ("\u4e00" <= character < "\ua000")


_FREQUENT: dict[str, Callable[[str], float]] = {
    "gb18030": _is_frequent_chinese,
    "big5": _is_frequent_traditional,
    "cp932": _is_japanese,
    "euc_jp": _is_japanese,
    "cp949": lambda character: float("\uac00" <= character < "\ud7a4"),
    "cp1251": lambda character: 0.95 * ("\u0430" <= character < "\u0450") + 0.5 * ("\u0410" <= character < "\u0430"),
    "cp1252": lambda character: 0.9 * (character in _WESTERN),
    "cp1250": lambda character: 0.8 * (character in _CENTRAL),
}
"""How frequent a character is, from 0 to 1, in languages that use an encoding; of two that tie, the first one is it."""
