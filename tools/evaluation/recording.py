"""One raw recording, and the clips of a split that are nearest to it."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from dataset.arrays import SplitArrays, load_arrays
from dataset.packed import PackedSplit
from dataset.skeleton import MAX_FRAMES
from options.retrieval import RetrievalOptions
from tools.evaluation.features import extract
from tools.evaluation.neighbours import rank, vote
from tools.evaluation.retrieval import encode, select
from tools.evaluation.subject import Downstream
from tools.prepare.formats.ntu import read
from tools.prepare.pipeline.normalise import normalise
from tools.prepare.pipeline.recordings import Recording

LISTED = 10
"""Clips that are listed as nearest to a recording where nobody says how many."""


def list_nearest(downstream: Downstream, options: RetrievalOptions) -> list[str]:
    """Look the recording of --query-file up in the gallery.

    Args:
        downstream: the encoder and the split.
        options: recording, gallery and neighbours; the queries are not looked at.

    Returns:
        A line for each of the nearest clips, nearest first: rank, cosine distance in [0, 2], class
        as counted from 1 and name; and one with the class that they vote for.

    Raises:
        OSError, ValueError: when the recording or the gallery cannot be read or compared.
    """
    search = options.search
    data = options.data
    query = read_recording(search.query_file, data.folder, downstream.device, data.origin)
    places = select(downstream, search.gallery, "--gallery")
    with downstream.frozen():
        gallery = encode(downstream, places, search.batch_size)
        features = extract(downstream.model, query, options.data.stream)
        neighbours = search.neighbours or (min(LISTED, len(places)),)
    ranking = rank(gallery.features, gallery.labels, features, query.labels, max(neighbours))
    found = ranking.neighbours[0]  # (k,)
    cosines = F.cosine_similarity(features.double(), gallery.features[found].double())
    labels, lines = gallery.labels[found.cpu()], []
    for place, (clip, cosine) in enumerate(zip(found.tolist(), cosines.tolist(), strict=True)):
        said = f"distance {1 - cosine:.6f}  action {gallery.labels[clip] + 1:3d}"
        lines.append(f"{place + 1:3d}  {said}  {gallery.names[clip]}")
    votes = (f"{vote(labels[None, :k]).item() + 1} by {k}" for k in neighbours)
    return [*lines, f"action by vote of the nearest: {', '.join(votes)}"]


def read_recording(
    path: Path, folder: Path, device: torch.device, origin: str = "published"
) -> PackedSplit:
    """Read and normalise one raw recording, as `tools.prepare ntu` does.

    Args:
        path: a `.skeleton` file, of any name.
        folder: of the split it will be compared with.
        device: where it is wanted.
        origin: which clips that split may have, as `dataset.arrays.ORIGINS`.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no whole recording, has no body, or the split is of another form.
    """
    flag = f"--query-file {path}"
    if not path.is_file():
        raise FileNotFoundError(f"{flag}: no such file")
    frames = load_arrays(folder, "train", origin=origin).data.shape[2]
    if frames != MAX_FRAMES:
        raise ValueError(
            f"{flag}: {folder} has clips of {frames} frames, normalised in another way than raw "
            "recordings are; choose a data set that tools.prepare made"
        )
    try:
        parsed = read(Recording(path.name, path, 0, {}))
    except ValueError as error:
        raise ValueError(f"{flag}: {error}") from None
    if not parsed.any():
        raise ValueError(f"{flag}: there is nobody in it")
    counts, labels = np.array([parsed.shape[1]]), np.zeros(1, dtype=np.int64)
    arrays = SplitArrays(path, normalise(parsed)[None], counts, labels, [path.name])
    return PackedSplit.from_arrays(arrays, device)
