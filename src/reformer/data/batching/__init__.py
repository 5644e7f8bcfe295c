"""Batching: records tokenised, cut, held out, ordered by length and put together."""
