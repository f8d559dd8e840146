"""Embedders: texts to (N, dim) float32."""
