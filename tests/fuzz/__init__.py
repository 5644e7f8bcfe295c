"""Fuzzing: damaged and hostile inputs of every kind, in processes of their own. `python -m tests.fuzz --help`."""
