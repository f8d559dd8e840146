"""Measuring: retrieval, words, and the report that shows it."""
