"""Insight: what is in data before anything is learned from it."""
