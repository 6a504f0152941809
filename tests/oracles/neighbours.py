"""The nearest training clip of each test clip, by scikit-learn's brute force."""

import numpy as np
from sklearn.neighbors import NearestNeighbors


def nearest(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The training clip (Q, 1) of smallest cosine distance, of features (N, F) and (Q, F)."""
    search = NearestNeighbors(n_neighbors=1, metric="cosine", algorithm="brute")
    return search.fit(train).kneighbors(test, return_distance=False)
