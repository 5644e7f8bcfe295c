"""Advice: a recipe for a file, chosen by what is in it."""
