"""Inference: scores and continuations of texts of any length by a trained run."""
