"""Retrieval as a user wants it: any gallery, any queries, several k, one recording of one's own.

Axes: N clips of the gallery, Q queries, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dataset.arrays import SplitArrays, load_arrays
from dataset.packed import PackedSplit
from dataset.protocols import DATASETS
from dataset.skeleton import MAX_FRAMES
from tools.evaluation.features import extract
from tools.evaluation.neighbours import nearest, rank, recalled, vote
from tools.evaluation.results import RESULTS, Json, as_plain, by_class, write_json
from tools.evaluation.subject import Downstream
from tools.files import write_whole

PARTS = {"train": "train", "val": "test", "test": "test"}
"""What a part may be called, and its attribute of Downstream."""
LISTED = 10
"""Clips that are listed as nearest to a recording where nobody says how many."""


@dataclass(frozen=True)
class Clips:
    """Some clips and their features.

    Attributes:
        features: (N, F).
        labels: (N,) classes from 0 on, on the CPU.
        names: N sample names.
    """

    features: Tensor
    labels: Tensor
    names: list[str]


@dataclass(frozen=True)
class Search:
    """What is looked up in what.

    Attributes:
        dataset: name of the data set.
        protocol: the split.
        neighbours: the numbers of nearest clips that are looked at, rising; none for as many as
            are usual, where one recording is looked up.
        gallery: "train", "val", or a file of sample names.
        query: likewise; nothing of it may lie in the gallery.
        batch_size: clips encoded at a time.
        save_features: .npz file for the features of both, or None.
        output: folder for results.json; None for one beside the checkpoint.
        options: everything that was asked for, for results.json.
    """

    dataset: str
    protocol: str
    neighbours: tuple[int, ...] = (1,)
    gallery: str = "train"
    query: str = "val"
    batch_size: int = 256
    save_features: Path | None = None
    output: Path | None = None
    options: Json = field(default_factory=dict)


def select(downstream: Downstream, what: str, flag: str) -> list[tuple[str, int]]:
    """Find the clips that a word or a file stands for.

    Args:
        downstream: both parts of the split.
        what: "train", "val", "test", or a text file of sample names, one a line.
        flag: the option, for messages.

    Returns:
        Part ("train" or "test") and row of each clip, in the order of the part or the file.

    Raises:
        FileNotFoundError: when it is neither a part nor a file.
        ValueError: when the file names nothing, a clip twice, or one that the split does not have.
    """
    if what in PARTS:
        part = PARTS[what]
        return [(part, row) for row in range(len(getattr(downstream, part)))]
    path = Path(what)
    if not path.is_file():
        raise FileNotFoundError(f"{flag} {what}: neither train, val nor a file of sample names")
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError:
        raise ValueError(f"{flag} {what}: it is not text; give one sample name a line") from None
    names = [name for name in names if name]
    places = _places(downstream)
    strange = [name for name in names if name not in places]
    if strange or not names:
        first = f"{len(strange)} of its names are of no clip, as {strange[0]}" if names else "empty"
        raise ValueError(f"{flag} {what}: {first}; {_example(downstream)}")
    found = [places[name] for name in names]
    if len(set(found)) < len(found):
        twice = next(name for name in names if found.count(places[name]) > 1)
        raise ValueError(f"{flag} {what}: names {twice} twice")
    return found


def _places(downstream: Downstream) -> dict[str, tuple[str, int]]:
    """Part and row of each clip by its name, with and without ending."""
    places = {}
    for part in ("test", "train"):
        for row, name in enumerate(getattr(downstream, part).names):
            places[name] = places[name.removesuffix(".skeleton")] = (part, row)
    return places


def _example(downstream: Downstream) -> str:
    return f"a name of this split is {downstream.train.names[0]}"


def encode(downstream: Downstream, chosen: Sequence[tuple[str, int]], batch_size: int) -> Clips:
    """Compute the features of chosen clips, in their order."""
    features = torch.empty(
        len(chosen), downstream.model.config.feature_size, device=downstream.device
    )
    labels, names = torch.empty(len(chosen), dtype=torch.int64), [""] * len(chosen)
    for part in ("train", "test"):
        here = [index for index, (of, _) in enumerate(chosen) if of == part]
        if not here:
            continue
        rows, split = torch.tensor([chosen[index][1] for index in here]), getattr(downstream, part)
        features[here] = downstream.features(part, batch_size=batch_size, clips=rows)
        labels[here] = split.labels[rows]
        for index in here:
            names[index] = split.names[chosen[index][1]]
    return Clips(features, labels, names)


def look_up(downstream: Downstream, search: Search) -> Json:
    """Look the queries up in the gallery and write results.json.

    Returns:
        The content of results.json.

    Raises:
        OSError, ValueError: when gallery or queries do not fit, or something cannot be written.
        RuntimeError: when the encoder changed, which voids the score.
    """
    for note in downstream.notes(search.dataset, search.protocol):
        downstream.report(note)
    chosen = [
        select(downstream, getattr(search, which), f"--{which}") for which in ("gallery", "query")
    ]
    _refuse_overlap(downstream, search, *chosen)
    with downstream.frozen():
        gallery, query = (encode(downstream, clips, search.batch_size) for clips in chosen)
        if search.save_features:
            save_features(search.save_features, train=gallery, test=query)
            downstream.report(f"features, labels and names written to {search.save_features}")
        figures = score(gallery, query, search.neighbours, DATASETS[search.dataset].classes)
    results = downstream.describe(search.dataset, search.protocol) | {
        "script": "action_retrieval.py",
        "gallery": {"what": search.gallery, "clips": len(gallery.names)},
        "query": {"what": search.query, "clips": len(query.names)},
        "settings": as_plain(search.options),
        **figures,
    }
    folder = results_folder(downstream, search)
    write_json(folder / RESULTS, results)
    downstream.report(f"results written to {folder}")
    return results


def results_folder(downstream: Downstream, search: Search) -> Path:
    """Where results.json goes: a folder for each checkpoint, split, gallery and query."""
    words = [search.dataset, search.protocol, downstream.stream, "retrieval"]
    if (search.gallery, PARTS.get(search.query)) != ("train", "test"):
        words += [Path(search.query).stem, "in", Path(search.gallery).stem]
    return downstream.results_folder(words, search.output)


def _refuse_overlap(
    downstream: Downstream,
    search: Search,
    gallery: Sequence[tuple[str, int]],
    query: Sequence[tuple[str, int]],
) -> None:
    both = sorted(set(gallery) & set(query))
    if both:
        part, row = both[0]
        name = getattr(downstream, part).names[row]
        raise ValueError(
            f"--query {search.query}: {len(both)} of its clips are in --gallery {search.gallery} "
            f"too, as {name}, and would find themselves; leave them out of one"
        )


def score(gallery: Clips, query: Clips, neighbours: Sequence[int], classes: int) -> Json:
    """Accuracy of the vote and recall at each k, mean average precision, and each per class.

    Args:
        gallery: clips to find.
        query: clips to look up.
        neighbours: the k.
        classes: L of the data set.

    Returns:
        Percentages: `at` by k, `top5` (recall at 5), `mean_average_precision`, `per_class`.
    """
    most = max(max(neighbours), min(5, len(gallery.names)))
    parts = (gallery.features, gallery.labels, query.features, query.labels)
    ranking = rank(*parts, most, max(neighbours))
    theirs, ours = (clips.labels.to(ranking.neighbours.device) for clips in (gallery, query))
    hits = {"average_precision": ranking.precision}
    for k in neighbours:
        hits[f"top1_at_{k}"] = vote(theirs[ranking.neighbours[:, :k]]) == ours
        hits[f"recall_at_{k}"] = recalled(ranking, theirs, ours, k)
    percent = {name: 100 * values.double() for name, values in hits.items()}
    mean = {name: values.mean().item() for name, values in percent.items()}
    by_name = [by_class(values, query.labels, classes, name) for name, values in percent.items()]
    return {
        "at": {
            str(k): {"top1": mean[f"top1_at_{k}"], "recall": mean[f"recall_at_{k}"]}
            for k in neighbours
        },
        "top5": 100 * recalled(ranking, theirs, ours, 5).double().mean().item(),
        "mean_average_precision": mean["average_precision"],
        "per_class": [
            {name: value for entry in entries for name, value in entry.items()}
            for entries in zip(*by_name, strict=True)
        ],
    }


def verdict(results: Json) -> list[str]:
    """Lines that say what came of a look-up."""
    lines = []
    for k, figures in results["at"].items():
        said = (
            "  <- the published figure" if k == "1" else f", recall@{k} {figures['recall']:.2f} %"
        )
        lines.append(f"KNN-{k}  top-1 {figures['top1']:.2f} %{said}")
    precision = f"mean average precision {results['mean_average_precision']:.2f} %"
    return [*lines, f"extras top-5 {results['top5']:.2f} %, {precision}"]


def save_features(path: Path, **parts: Clips) -> None:
    """Write features, labels and names of some clips to an .npz file, whole or not at all.

    Args:
        path: for each part its NAME_features (N, F) float32, NAME_labels (N,) int64 and
            NAME_names (N,) text.
        parts: the clips, by name.
    """
    arrays = {}
    for part, clips in parts.items():
        arrays[f"{part}_features"] = clips.features.cpu().numpy()
        arrays[f"{part}_labels"] = clips.labels.numpy()
        arrays[f"{part}_names"] = np.array(clips.names)
    write_whole(path, lambda file: np.savez(file, **arrays))


def list_nearest(downstream: Downstream, search: Search, folder: Path, path: Path) -> list[str]:
    """Look one recording up in the gallery.

    Args:
        downstream: the encoder and the split.
        search: gallery and neighbours; its queries are not looked at.
        folder: of the split.
        path: a raw NTU RGB+D recording.

    Returns:
        A line for each of the nearest clips, nearest first: rank, cosine distance in [0, 2], class
        as counted from 1 and name; and one with the class that they vote for.

    Raises:
        OSError, ValueError: when the recording or the gallery cannot be read or compared.
    """
    query = read_recording(path, folder, downstream.device)
    chosen = select(downstream, search.gallery, "--gallery")
    with downstream.frozen():
        gallery = encode(downstream, chosen, search.batch_size)
        features = extract(downstream.model, query, downstream.stream)
        neighbours = search.neighbours or (min(LISTED, len(chosen)),)
        found, distances = nearest(gallery.features, features, max(neighbours))
    labels = gallery.labels[found[0].cpu()]
    rows = zip(found[0].tolist(), distances[0].tolist(), labels.tolist(), strict=True)
    lines = [
        f"{place:3d}  distance {distance:.6f}  action {label + 1:3d}  {gallery.names[clip]}"
        for place, (clip, distance, label) in enumerate(rows, start=1)
    ]
    votes = (f"{vote(labels[None, :k]).item() + 1} by {k}" for k in neighbours)
    return [*lines, f"action by vote of the nearest: {', '.join(votes)}"]


def read_recording(path: Path, folder: Path, device: torch.device) -> PackedSplit:
    """Read and normalise one raw recording, as `tools.prepare ntu` does.

    Args:
        path: a `.skeleton` file, of any name.
        folder: of the split it will be compared with.
        device: where it is wanted.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no whole recording, has no body, or the split is of another form.
    """
    from tools.prepare.formats.ntu import read
    from tools.prepare.pipeline.normalise import normalise  # what raw data needs and no one else
    from tools.prepare.pipeline.recordings import Recording

    flag = f"--query-file {path}"
    if not path.is_file():
        raise FileNotFoundError(f"{flag}: no such file")
    frames = load_arrays(folder, "train").data.shape[2]
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
    return PackedSplit.from_arrays(
        SplitArrays(path, normalise(parsed)[None], counts, labels, [path.name]), device
    )
