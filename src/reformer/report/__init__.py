"""Report of a model's answers as a page for people."""
