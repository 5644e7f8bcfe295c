"""Files of annotation tools: how their records are read and written."""
