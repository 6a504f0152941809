"""From a recording to its features, and to the clips of a split that are nearest to it.

Axes: C=3 coordinates (metres), F recorded frames, V=25 joints, M=2 bodies. Of N clips the features
are (N, 2·G·d), which are called (N, F) too.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dataset.arrays import SplitArrays, load_arrays
from dataset.custom import DESCRIPTION, read_description, read_joints, read_unit
from dataset.packed import PackedSplit
from dataset.skeleton import MAX_FRAMES
from moco.method import Method
from options.groups import DataOptions
from options.recordings import ReadingOptions
from options.retrieval import RetrievalOptions
from tools.evaluation.features import extract
from tools.evaluation.neighbours import rank, vote
from tools.evaluation.retrieval import encode, select
from tools.evaluation.subject import Downstream
from tools.prepare.formats import custom
from tools.prepare.pipeline.normalise import normalise
from tools.prepare.pipeline.recordings import Noted, Recording
from tools.prepare.pipeline.work import check

Clip = Tensor | np.ndarray | str | Path
LISTED = 10
"""Clips that are listed as nearest to a recording where nobody says how many."""


def list_nearest(downstream: Downstream, options: RetrievalOptions) -> list[str]:
    """Look the recording of --query-file up in the gallery; the queries are not looked at.

    Returns:
        A line for each of the nearest clips, nearest first: rank, cosine distance in [0, 2], class
        by its name, or else as counted from 1, and name; and one with the class they vote for.

    Raises:
        OSError, ValueError: when the recording or the gallery cannot be read or compared.
    """
    search = options.search
    query = read_recording(options, downstream.device)
    places = select(downstream, search.gallery, "--gallery")
    with downstream.frozen():
        gallery = encode(downstream, places, search.batch_size)
        features = extract(downstream.model, query, options.data.stream)
        neighbours = search.neighbours or (min(LISTED, len(places)),)
    rows, distances = nearest(gallery.features, gallery.labels, features, max(neighbours))
    found, away = rows[0].tolist(), distances[0].tolist()
    names = options.data.known.class_names or range(1, downstream.classes + 1)
    width = max(3, *(len(str(name)) for name in names))
    labels, lines = gallery.labels[found], []
    for place, (clip, distance) in enumerate(zip(found, away, strict=True)):
        said = f"distance {distance:.6f}  action {names[gallery.labels[clip]]:>{width}}"
        lines.append(f"{place + 1:3d}  {said}  {gallery.names[clip]}")
    votes = (f"{names[vote(labels[None, :k]).item()]} by {k}" for k in neighbours)
    return [*lines, f"action by vote of the nearest: {', '.join(votes)}"]


def nearest(gallery: Tensor, labels: Tensor, features: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the k nearest clips of each recording, nearest first.

    Args:
        gallery: (N, F) features of the clips.
        labels: (N,) their classes.
        features: (Q, F) of the recordings.
        k: 1 to N.

    Returns:
        (Q, k) rows of the gallery and (Q, k) float64 cosine distances in [0, 2].
    """
    unknown = torch.zeros(len(features), dtype=torch.int64)  # only the precision asks for it
    found = rank(gallery, labels, features, unknown, k).neighbours
    cosines = F.cosine_similarity(features.double()[:, None], gallery[found].double(), dim=2)
    return found, 1 - cosines


def read_recording(options: RetrievalOptions, device: torch.device) -> PackedSplit:
    """Read and normalise the recording of --query-file to compare it with the clips of a split.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no whole recording, has no body, or the split is of another form.
    """
    path = options.search.query_file
    flag = f"--query-file {path}"
    refuse_resized(options.data, flag)
    described = describe(options.reading, options.data.data_path, options.data.dataset)
    bodies = read_bodies(path, custom.Reader.of(described, options.reading.cut), "--query-file ")
    return as_split([bodies], [path.name], device)


def describe(reading: ReadingOptions, data_path: Path | None, dataset: str) -> dict[str, Any]:
    """Joints and unit of a recording: as given, or else as those of a data set of one's own.

    Raises:
        ValueError: what was given makes no sense.
    """
    flag = f"--unit {reading.unit}"
    try:
        unit = reading.unit and read_unit(reading.unit)
        if reading.joints is not None:
            flag = f"--joints {reading.joints}"
            return read_joints(reading.joints, unit)
    except ValueError as error:
        raise ValueError(f"{flag}: {error}") from None
    description = (data_path or Path()) / dataset / DESCRIPTION
    own = data_path is not None and description.is_file()
    return read_joints(read_description(description) if own else {}, unit)


def refuse_resized(data: DataOptions, flag: str) -> None:
    """Refuse to compare recordings with clips that were all resized to one length.

    The `flag` is what asked for it, for the message.
    """
    frames = load_arrays(data.folder, "train", origin=data.origin).data.shape[2]
    if frames != MAX_FRAMES:
        raise ValueError(
            f"{flag}: {data.folder} has clips of {frames} frames, normalised in another way than "
            "raw recordings are; choose a data set that tools.prepare made"
        )


def read_bodies(path: Path, reader: custom.Reader, flag: str = "") -> np.ndarray:
    """Read one recording.

    Args:
        path: `.npy` of (F, V, 3) or (bodies, F, V, 3), or `.bvh`; any other file is a `.skeleton`.
        reader: which joints, of which unit.
        flag: what names the file, for messages.

    Returns:
        (3, F, 25, 2) float32 metres; absent bodies are zero.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no whole recording, is too long, or nobody is in it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{flag}{path}: no such file")
    return _checked(lambda: reader(Recording(path.name, path, 0, {})), f"{flag}{path}")


def bodies_of(clip: Tensor | np.ndarray, reader: custom.Reader, name: str) -> np.ndarray:
    """Bring (T, V, 3) or (2, T, V, 3) of the reader's joints to (3, T, 25, 2) metres, checked."""
    array = clip.detach().cpu().numpy() if torch.is_tensor(clip) else np.asarray(clip)
    return _checked(lambda: reader.parse(array), name)


def _checked(read: Callable[[], np.ndarray | Noted], name: str) -> np.ndarray:
    """Refuse what cannot be normalised: (3, F, 25, 2) metres; a fault names the recording."""
    try:
        parsed = read()
        bodies = parsed.coordinates if isinstance(parsed, Noted) else parsed
        check(bodies)
        if not bodies.any():
            raise ValueError("there is nobody in it")
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return bodies


def as_split(
    recordings: Sequence[np.ndarray], names: Sequence[str], device: torch.device | str
) -> PackedSplit:
    """Normalise recordings, each (3, F, 25, 2) metres, as training clips are, into clips to encode.

    Their classes mean nothing.
    """
    data = np.stack([normalise(bodies) for bodies in recordings])
    counts = np.array([bodies.shape[1] for bodies in recordings])
    labels = np.zeros(len(counts), dtype=np.int64)
    arrays = SplitArrays(Path(names[0]), data, counts, labels, list(names))
    return PackedSplit.from_arrays(arrays, device)


class FrozenEncoder(nn.Module):
    """A trained encoder that describes clips, as the evaluations see them.

    Attributes:
        method: whose encoder it is, in eval mode, without gradients.
        stream: what is read off the skeletons, "joint", "motion" or "bone".
        reader: which joints of clips stand for our 25, and their unit of length.
    """

    def __init__(self, method: Method, stream: str, reader: custom.Reader) -> None:
        super().__init__()
        self.method, self.stream = method.eval().requires_grad_(False), stream
        self.reader = reader

    def embed(self, clip: Clip | Sequence[Clip]) -> Tensor:
        """Describe one clip, or several.

        Args:
            clip: (T, V, 3) or, of two bodies, (2, T, V, 3), 1 <= T <= 300, with the joints and unit
                of `reader`; absent joints are zero. Or the name of a file. Or a list of N such
                clips.

        Returns:
            (F,) features, or (N, F) of a list.

        Raises:
            ValueError: a clip of another shape, too long, empty or not finite.
        """
        several = isinstance(clip, list | tuple)
        recordings = []
        for number, each in enumerate(clip if several else [clip]):
            if isinstance(each, str | Path):
                recordings.append(read_bodies(Path(each), self.reader))
            else:
                recordings.append(bodies_of(each, self.reader, f"clip {number}"))
        if not recordings:
            raise ValueError("no clip was given")
        names = [str(number) for number in range(len(recordings))]
        split = as_split(recordings, names, next(self.method.parameters()).device)
        features = extract(self.method, split, self.stream)
        return features if several else features[0]

    forward = embed
