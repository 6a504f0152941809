"""Maps of features in the plane, and how well classes keep together in them.

Axes: N clips, F features.
"""

import numpy as np
import torch
from torch import Tensor

SIDE = 1000
"""A map is a square of whole numbers from 0 to 1000."""
PERPLEXITY = 30.0


def flat_map(features: Tensor, seed: int) -> list[list[int]]:
    """Lay features out in the plane by t-SNE on their cosine distances.

    Args:
        features: (N, F), N of 4 or more.
        seed: of the layout.

    Returns:
        N pairs of whole numbers, 0 to SIDE.

    Source:
        van der Maaten and Hinton 2008, Journal of Machine Learning Research 9.
    """
    from sklearn.manifold import TSNE  # slow to import, needed by no one else

    unit = torch.nn.functional.normalize(features.double().cpu(), dim=1).numpy()
    # Euclidean distances of unit vectors order pairs as cosine distances do.
    plane = TSNE(
        n_components=2,
        perplexity=min(PERPLEXITY, (len(unit) - 1) / 3),
        init="pca" if np.ptp(unit) > 0 else "random",
        random_state=seed % 2**32,
    ).fit_transform(unit)
    low, high = plane.min(axis=0), plane.max(axis=0)
    size = np.maximum(high - low, 1e-12)  # each axis alone: neither means anything
    return np.rint(SIDE * (plane - low) / size).astype(int).tolist()


def neighbour_share(features: Tensor, labels: Tensor) -> float:
    """Percent of clips whose nearest other clip, by cosine, has their class.

    Args:
        features: (N, F).
        labels: (N,) classes.
    """
    unit = torch.nn.functional.normalize(features.double().cpu(), dim=1)
    similar = (unit @ unit.T).fill_diagonal_(-2)  # below every cosine
    return 100 * (labels[similar.argmax(dim=1)] == labels).double().mean().item()
