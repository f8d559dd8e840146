"""The Transformer stack: parts that are frozen dataclasses and build their modules."""
