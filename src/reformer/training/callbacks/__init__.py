"""Callbacks of the trainer, one file each."""
