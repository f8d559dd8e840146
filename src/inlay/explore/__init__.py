"""Looking at vectors: maps of words."""
