"""Scores of an encoder: features, classifiers, retrieval, and what they write."""
