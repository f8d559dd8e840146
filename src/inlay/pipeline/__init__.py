"""The stages of `fit`, in order; each reads what the ones before left on disk."""

from inlay.pipeline.config import Base, FitConfig, Scratch
from inlay.pipeline.pipeline import Pipeline

__all__ = ["Base", "FitConfig", "Pipeline", "Scratch"]
