"""Word vectors: training, lookup, file formats."""
