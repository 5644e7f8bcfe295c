"""Faults of process, disk and power while files are written: `python -m tests.faults`."""
