"""One raw recording, and the clips of a split that are nearest to it."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from dataset.arrays import SplitArrays, load_arrays
from dataset.custom import DESCRIPTION, read_description
from dataset.packed import PackedSplit
from dataset.skeleton import MAX_FRAMES
from options.groups import DataOptions
from options.retrieval import RetrievalOptions
from tools.evaluation.features import extract
from tools.evaluation.neighbours import rank, vote
from tools.evaluation.retrieval import encode, select
from tools.evaluation.subject import Downstream
from tools.prepare.formats import custom, ntu
from tools.prepare.pipeline.normalise import normalise
from tools.prepare.pipeline.recordings import Recording
from tools.prepare.pipeline.work import check

LISTED = 10
"""Clips that are listed as nearest to a recording where nobody says how many."""


def list_nearest(downstream: Downstream, options: RetrievalOptions) -> list[str]:
    """Look the recording of --query-file up in the gallery.

    Args:
        downstream: the encoder and the split.
        options: recording, gallery and neighbours; the queries are not looked at.

    Returns:
        A line for each of the nearest clips, nearest first: rank, cosine distance in [0, 2], class
        by its name, or else as counted from 1, and name; and one with the class they vote for.

    Raises:
        OSError, ValueError: when the recording or the gallery cannot be read or compared.
    """
    search = options.search
    query = read_recording(search.query_file, options.data, downstream.device)
    places = select(downstream, search.gallery, "--gallery")
    with downstream.frozen():
        gallery = encode(downstream, places, search.batch_size)
        features = extract(downstream.model, query, options.data.stream)
        neighbours = search.neighbours or (min(LISTED, len(places)),)
    ranking = rank(gallery.features, gallery.labels, features, query.labels, max(neighbours))
    found = ranking.neighbours[0]  # (k,)
    cosines = F.cosine_similarity(features.double(), gallery.features[found].double())
    labels, lines = gallery.labels[found.cpu()], []
    names = options.data.known.class_names or range(1, downstream.classes + 1)
    width = max(3, *(len(str(name)) for name in names))
    for place, (clip, cosine) in enumerate(zip(found.tolist(), cosines.tolist(), strict=True)):
        said = f"distance {1 - cosine:.6f}  action {names[gallery.labels[clip]]:>{width}}"
        lines.append(f"{place + 1:3d}  {said}  {gallery.names[clip]}")
    votes = (f"{names[vote(labels[None, :k]).item()]} by {k}" for k in neighbours)
    return [*lines, f"action by vote of the nearest: {', '.join(votes)}"]


def read_recording(path: Path, data: DataOptions, device: torch.device) -> PackedSplit:
    """Read and normalise one raw recording, as `tools.prepare ntu` and `custom` do.

    Args:
        path: a `.skeleton`, `.npy` or `.bvh` file, of any name; joints and units are those of the
            data set's description, where it is one's own, and else the second Kinect's in metres.
        data: the split it will be compared with.
        device: where it is wanted.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no whole recording, has no body, or the split is of another form.
    """
    flag = f"--query-file {path}"
    if not path.is_file():
        raise FileNotFoundError(f"{flag}: no such file")
    frames = load_arrays(data.folder, "train", origin=data.origin).data.shape[2]
    if frames != MAX_FRAMES:
        raise ValueError(
            f"{flag}: {data.folder} has clips of {frames} frames, normalised in another way than "
            "raw recordings are; choose a data set that tools.prepare made"
        )
    description = data.data_path / data.dataset / DESCRIPTION
    described = read_description(description) if description.is_file() else {}
    try:
        known = path.suffix in (".npy", custom.BVH)  # anything else is read as NTU's
        read = custom.Reader.of(described) if known else ntu.read
        parsed = read(Recording(path.name, path, 0, {}))
        check(parsed)
    except ValueError as error:
        raise ValueError(f"{flag}: {error}") from None
    if not parsed.any():
        raise ValueError(f"{flag}: there is nobody in it")
    counts, labels = np.array([parsed.shape[1]]), np.zeros(1, dtype=np.int64)
    arrays = SplitArrays(path, normalise(parsed)[None], counts, labels, [path.name])
    return PackedSplit.from_arrays(arrays, device)
