"""Text in: documents, cleaning, duplicates, words, pairs, named data sets."""
