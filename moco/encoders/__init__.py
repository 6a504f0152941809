"""Sequence encoders and the hierarchical encoder around them."""
