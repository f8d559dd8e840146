"""Writing: a model's own text after a prompt, or in answer to a source."""
