"""Inference: scoring and generating texts of any length with a trained run."""
