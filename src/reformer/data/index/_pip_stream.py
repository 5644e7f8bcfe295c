"""Write one file of a package index to standard output, as pip would download it; nothing of it is run.

Run as a script: `python -P _pip_stream.py PACKAGE FILE`. `pip download` itself would run the setup.py of a source
archive to learn its metadata, so only pip's search and its network session are used. With them, the user's
own settings hold: index addresses, mirrors, certificates, proxies and credentials.

pip promises no interface for this. These parts of `pip._internal` were read in pip 23.2.1, and tried with 26.3.
"""

import logging
import sys

try:
    from pip._internal.commands.download import DownloadCommand
except ImportError as error:
    pip = sys.modules.get("pip")
    reason = "no pip is installed" if pip is None else f"pip {pip.__version__} lacks a part that fetching needs"
    # The last line on standard error becomes the reason in the user's `DataError`.
    sys.exit(f"{reason}: {error}")


class _Refusals(logging.Handler):
    """Keeps why pip passed over an address; pip itself goes on in silence."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message.startswith("Could not fetch"):
            self.messages.append(message)


def main(package: str, file: str) -> None:
    refusals = _Refusals()
    logger = logging.getLogger("pip._internal.index.collector")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(refusals)
    command = DownloadCommand("download", "")
    options, _ = command.parse_args([])
    session = command._build_session(options)
    finder = command._build_package_finder(options, session)
    links = [candidate.link for candidate in finder.find_all_candidates(package)]
    matching = [link for link in links if link.filename == file]
    if not matching:
        sys.exit(refusals.messages[-1] if refusals.messages else "the package index has no such file")
    # Without this header a server may send the archive compressed once more, and the checksum would not fit.
    response = session.get(matching[0].url_without_fragment, stream=True, headers={"Accept-Encoding": "identity"})
    response.raise_for_status()
    for chunk in response.iter_content(1 << 16):
        sys.stdout.buffer.write(chunk)


if __name__ == "__main__":
    main(*sys.argv[1:])
