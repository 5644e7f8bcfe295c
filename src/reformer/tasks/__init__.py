"""Tasks: what is learned, one file or folder each."""
