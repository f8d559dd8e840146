"""Finding: dense, lexical and fused ranking."""
