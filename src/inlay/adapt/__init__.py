"""Adaptation: an encoder tuned to the user's text, behind a gate that keeps the base where nothing is gained."""
