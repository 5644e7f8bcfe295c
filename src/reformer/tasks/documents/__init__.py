"""Document tasks: token and sequence classification."""
