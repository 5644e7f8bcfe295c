"""Errors that the user can mend: commands print them without a traceback."""

import errno
import os
import re


class ReformerError(Exception):
    """What was given, what was expected, and what to do about it, in one message."""


class ReformerWarning(UserWarning):
    """Something that a user should know of and that stops nothing: commands print it without its place in the code."""


_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room, then give the same command again"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "give yourself the right to it, or take another place"),
    errno.EROFS: "this disk cannot be written; take another place",
    errno.EIO: "the disk or the network below it fails; when it works again, give the same command again",
    errno.ENOENT: "check the path",
    errno.EISDIR: "expected a file; give one",
    errno.ENOTDIR: "a part of this path is a file; check the path",
    errno.ENAMETOOLONG: "give a shorter name",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "allow more open files (`ulimit -n`), or give fewer"),
    errno.ENOMEM: "free some memory, or give less at a time",
}


def disk_error(error: BaseException) -> OSError | None:
    """The error of the disk that an exception stands for, also where a library has its own for it; None if it is none.

    safetensors and tokenizers say the system's number in the text; PyTorch's writer of archives says no more than that
    it could not go on.
    """
    if isinstance(error, OSError):
        return error
    number = re.search(r"\(os error (\d+)\)", str(error))
    if number is not None:
        return OSError(int(number[1]), os.strerror(int(number[1])))
    if isinstance(error, RuntimeError) and re.search("PytorchStreamWriter|inline_container|iostream error", str(error)):
        return OSError(errno.ENOSPC, "a file could not be written to its end")
    return None


def reason_and_remedy(error: OSError) -> tuple[str, str]:
    """What the system says is wrong, and what the user can do about it."""
    return error.strerror or str(error), _REMEDIES.get(error.errno or 0, "what was written before is kept")
