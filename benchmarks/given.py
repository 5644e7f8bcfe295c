"""Files that a benchmark was given on the command line, in the process that measures."""

from pathlib import Path

pairs: Path | None = None
"""What `python -m benchmarks.help_pairs` has written."""
