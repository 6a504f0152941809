"""Retrieval: any clips of a split as gallery, any as queries, several numbers of neighbours.

Axes: N clips of the gallery, Q queries, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dataset.actions import class_names
from options.retrieval import RetrievalOptions
from tools.evaluation.features import part_arrays, write_features
from tools.evaluation.neighbours import rank, recalled, vote
from tools.evaluation.results import RESULTS, Json, by_class, named, refuse_other, write_json
from tools.evaluation.subject import PARTS, Downstream

Place = tuple[str, int]
"""Part, "train" or "test", and row of a clip."""


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


def look_up(downstream: Downstream, options: RetrievalOptions) -> Json:
    """Look the queries up in the gallery and write results.json.

    Returns:
        The content of results.json.

    Raises:
        OSError, ValueError: when gallery or queries do not fit, or something cannot be written.
        RuntimeError: when the encoder changed, which voids the score.
    """
    search = options.search
    downstream.begin()
    gallery_places = select(downstream, search.gallery, "--gallery")
    query_places = select(downstream, search.query, "--query")
    _refuse_overlap(downstream, options, gallery_places, query_places)
    folder = results_folder(downstream, options)
    refuse_other(folder / RESULTS, options, options.overwrite)
    with downstream.frozen():
        gallery = encode(downstream, gallery_places, search.batch_size)
        query = encode(downstream, query_places, search.batch_size)
        if search.save_features:
            _save_features(search.save_features, gallery, query)
            downstream.report(f"features, labels and names written to {search.save_features}")
        figures = score(gallery, query, search.neighbours, downstream.classes)
        figures["per_class"] = named(figures["per_class"], class_names(downstream.data.known))
    results = downstream.describe() | {
        "script": "action_retrieval.py",
        "gallery": {"what": search.gallery, "clips": len(gallery.names)},
        "query": {"what": search.query, "clips": len(query.names)},
        **figures,
    }
    write_json(folder / RESULTS, results)
    downstream.report(f"results written to {folder}")
    return results


def _save_features(path: Path, gallery: Clips, query: Clips) -> None:
    """Write both to an .npz file; the gallery is called train there and the queries test."""
    arrays = {}
    for part, clips in (("train", gallery), ("test", query)):
        arrays |= part_arrays(part, {"features": clips.features}, clips.labels, clips.names)
    write_features(path, arrays)


def results_folder(downstream: Downstream, options: RetrievalOptions) -> Path:
    """Where results.json goes: a folder for each checkpoint, split, gallery and query."""
    gallery, query, words = options.search.gallery, options.search.query, ["retrieval"]
    if (gallery, PARTS.get(query)) != ("train", "test"):
        words += [Path(query).stem, "in", Path(gallery).stem]
    return downstream.results_folder(options.output_path, *words)


def select(downstream: Downstream, what: str, flag: str) -> list[Place]:
    """Find the clips of "train", "val" or "test", or of a text file of sample names, one a line.

    Returns:
        The place of each clip, in the order of the part or the file.

    Raises:
        FileNotFoundError: when it is neither a part nor a file.
        ValueError: when the file names nothing, a clip twice, or one that the split does not have.
    """
    if what in PARTS:
        return [(PARTS[what], row) for row in range(len(downstream.part(what)))]
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
        fault = f"{len(strange)} of its names are of no clip, as {strange[0]}" if names else "empty"
        example = f"a name of this split is {downstream.train.names[0]}"
        raise ValueError(f"{flag} {what}: {fault}; {example}")
    found = [places[name] for name in names]
    if len(set(found)) < len(found):
        twice = next(name for name in names if found.count(places[name]) > 1)
        raise ValueError(f"{flag} {what}: names {twice} twice")
    return found


def _places(downstream: Downstream) -> dict[str, Place]:
    """Place of each clip by its name, with and without ending."""
    places = {}
    for part in ("test", "train"):
        for row, name in enumerate(downstream.part(part).names):
            places[name] = places[name.removesuffix(".skeleton")] = (part, row)
    return places


def _refuse_overlap(
    downstream: Downstream,
    options: RetrievalOptions,
    gallery: Sequence[Place],
    query: Sequence[Place],
) -> None:
    both = sorted(set(gallery) & set(query))
    if both:
        part, row = both[0]
        search, name = options.search, downstream.part(part).names[row]
        raise ValueError(
            f"--query {search.query}: {len(both)} of its clips are in --gallery {search.gallery} "
            f"too, as {name}, and would find themselves; leave them out of one"
        )


def encode(downstream: Downstream, places: Sequence[Place], batch_size: int) -> Clips:
    """Compute the features of chosen clips, in their order."""
    size = downstream.config.feature_size
    features = torch.empty(len(places), size, device=downstream.device)
    labels = torch.empty(len(places), dtype=torch.int64)
    for part in ("train", "test"):
        here = [index for index, (of, _) in enumerate(places) if of == part]
        if here:
            rows = torch.tensor([places[index][1] for index in here])
            features[here] = downstream.features(part, batch_size=batch_size, clips=rows)
            labels[here] = downstream.part(part).labels[rows]
    names = [downstream.part(part).names[row] for part, row in places]
    return Clips(features, labels, names)


def score(gallery: Clips, query: Clips, neighbours: Sequence[int], classes: int) -> Json:
    """Accuracy of the vote and recall at each k, mean average precision, and each per class.

    Returns:
        Percentages: `at` by k, `top5` (recall at 5), `mean_average_precision`, `per_class`.
    """
    ranking = rank(
        gallery.features,
        gallery.labels,
        query.features,
        query.labels,
        most=max(*neighbours, min(5, len(gallery.names))),
    )
    theirs, ours = (each.labels.to(ranking.neighbours.device) for each in (gallery, query))
    hits = {"average_precision": ranking.precision}
    for k in neighbours:
        hits[f"top1_at_{k}"] = vote(theirs[ranking.neighbours[:, :k]]) == ours
        hits[f"recall_at_{k}"] = recalled(ranking, theirs, ours, k)
    percent = {name: 100 * values.double() for name, values in hits.items()}
    mean = {name: values.mean().item() for name, values in percent.items()}
    per_class = [{} for _ in range(classes)]
    for name, values in percent.items():
        for share in by_class(values, query.labels, classes, name):
            per_class[share["class"]] |= share
    return {
        "at": {str(k): {n: mean[f"{n}_at_{k}"] for n in ("top1", "recall")} for k in neighbours},
        "top5": 100 * recalled(ranking, theirs, ours, 5).double().mean().item(),
        "mean_average_precision": mean["average_precision"],
        "per_class": per_class,
    }


def verdict(results: Json) -> list[str]:
    """Lines that say what came of a look-up."""
    lines = []
    for k, figures in results["at"].items():
        recall = f", recall@{k} {figures['recall']:.2f} %"
        said = "  <- the metric the paper reports" if k == "1" else recall
        lines.append(f"KNN-{k}  top-1 {figures['top1']:.2f} %{said}")
    precision = f"mean average precision {results['mean_average_precision']:.2f} %"
    return [*lines, f"extras top-5 {results['top5']:.2f} %, {precision}"]
