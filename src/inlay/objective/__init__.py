"""Objectives: what a model is asked to predict, from text alone."""
