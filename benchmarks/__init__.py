"""Time and memory beside the other implementations: `python -m benchmarks.run --help`."""
