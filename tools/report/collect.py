"""One document of one run or several: what the page shows, as plain values."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dataset.actions import class_names
from dataset.skeleton import JOINT_NAMES, PARENTS, SIDES
from moco.heads import LEVELS
from options.groups import RANDOM, DataOptions
from options.parser import flat
from options.report import ReportOptions
from tools.checkpoint import load_encoder
from tools.evaluation.results import Json
from tools.report.answers import answers, most_confused, of_classifiers
from tools.report.clips import ClipStore, show_views
from tools.report.curves import TRAINING, curves
from tools.report.encoded import Encoded, Sampled, Splits, data_of, sample
from tools.report.figures import by_weight, chance, figure, figures
from tools.report.folder import RunFolder
from tools.report.maps import flat_map, neighbour_share
from tools.runtime import pick_device

DRAWN_BLINDLY = 0.6
"""Share of the gallery's queries that is drawn; the others are of the most confused pairs."""
MAP_FRAMES = 12
SHOWN_IN_VIEWS = 3
SAID_OF_CHECKPOINT = ("settings.data.", "settings.encoder.", "settings.contrast.", "data.prepared.")
"""Of config.json: the record has these from the checkpoint."""
PUBLISHED = "hico"
"""The pipeline of augmentations whose parts are shown."""
STEPS = 5 + 2 * len(LEVELS)
"""Steps of the progress bar for each run."""
ABOUT_LEVELS = {
    "clip": "Clip: the temporal branch at its finest level, before its head.",
    "part": "Part: the spatial branch at its finest level, before its head.",
    "temporal": "Temporal: all levels of the temporal branch.",
    "spatial": "Spatial: all levels of the spatial branch.",
    "instance": "Instance: both branches, the feature that is scored.",
}
Tick = Callable[[str], Any]
"""Told what is done next, once for each step."""


@dataclass(frozen=True)
class Shown:
    """One run while its part of the document is made.

    Attributes:
        folder: what is on disk.
        model: the method with its trained encoder.
        provenance: of the checkpoint.
        data: what it is shown on.
        clips: the sampled clips of it.
        options: what was asked for.
    """

    folder: RunFolder
    model: Any
    provenance: Json
    data: DataOptions
    clips: Sampled
    options: ReportOptions

    @property
    def words(self) -> Json:
        """Data set, protocol and stream."""
        return {name: getattr(self.data, name) for name in ("dataset", "protocol", "stream")}

    @property
    def test_labels(self) -> Tensor:
        """(q,) classes of the sampled test clips."""
        return self.clips.test.labels[self.clips.test_rows]


def collect(options: ReportOptions, tick: Tick = lambda text: None) -> Json:
    """Read the runs and compute what is missing.

    Args:
        options: which runs, on which data, how much.
        tick: is told each of `STEPS` steps a run.

    Returns:
        The document that `tools.report.page.render` takes.

    Raises:
        OSError, ValueError: when a run or its data cannot be read.
    """
    splits, store = Splits(pick_device(options.device)), ClipStore()
    runs = [_run(_open(folder, splits, options), store, tick) for folder in _folders(options)]
    names = [run["name"] for run in runs]
    return {
        "title": f"HiCo: {', '.join(names)}",
        "made": f"Made by python -m tools.report; seed {options.sample.seed} draws the samples, "
        "lays out the maps and makes the untrained encoder.",
        "notes": [
            "Intervals are 95 % Wilson intervals over test clips; they say nothing of other seeds "
            "of training. Chance is the class of a training clip drawn blindly.",
            "Classifiers are shown at their last epoch. The published figure is of the best epoch "
            "on the test clips; where it compares, ours stands beside it.",
        ],
        "training": TRAINING,
        "bones": list(PARENTS),
        "joints": list(JOINT_NAMES),
        "sides": list(SIDES),
        "clips": store.clips,
        "runs": runs,
    }


def _folders(options: ReportOptions) -> list[RunFolder]:
    return [RunFolder.read(path) for path in options.runs]


def _open(folder: RunFolder, splits: Splits, options: ReportOptions) -> Shown:
    model, provenance = load_encoder(str(folder.checkpoint), report=lambda line: None)
    data = data_of(options.data, provenance)
    train, test = (splits.part(data.folder, part) for part in ("train", "val"))
    most, seed = options.sample.knn_clips, options.sample.seed
    rows = [sample(len(part), each, seed) for part, each in zip((train, test), most, strict=True)]
    clips = Sampled(train, test, *rows)
    return Shown(folder, model.to(splits.device), provenance, data, clips, options)


def _run(run: Shown, store: ClipStore, tick: Tick) -> Json:
    name = run.folder.name
    sizes = run.options.sample
    tick(f"{name}: features")
    trained = Encoded.by(run.model, run.clips, run.data.stream, sizes.batch_size)
    tick(f"{name}: features before training")
    config = run.model.encoder.config
    fresh, _ = load_encoder(RANDOM, random_config=config, seed=sizes.seed, report=lambda line: None)
    fresh = fresh.to(run.clips.test.device)
    untrained = Encoded.by(fresh, run.clips, run.data.stream, sizes.batch_size)
    tick(f"{name}: gallery")
    knn = _knn_answers(run, trained)
    gallery = _gallery(run, trained, knn, store)
    maps = _maps(run, untrained, trained, gallery, store, tick)
    tick(f"{name}: views")
    views = _views(run)
    tick(f"{name}: figures and curves")
    return {
        "name": name,
        "tags": _tags(run),
        "classes": list(class_names(run.data.known)),
        "record": _record(run),
        "figures": _figures(run, untrained, trained),
        "marks": _marks(run),
        "curves": curves(run.folder),
        "gallery": gallery,
        "views": views,
        "maps": maps,
        "tests": [knn, *of_classifiers(run.folder, run.words)],
    }


def _tags(run: Shown) -> list[str]:
    epochs = run.provenance["epochs"]
    done = [] if epochs is None else [f"{epochs:,} epochs"]
    where = f"{run.data.known.title} {run.data.protocol}"
    return [run.model.encoder.config.kind, where, run.data.stream, *done]


def _record(run: Shown) -> list[list[str]]:
    """What was run, as names and texts."""
    source, settings = run.provenance, run.model.settings
    facts = {
        "folder": run.folder.path,
        "checkpoint": run.folder.checkpoint.name,
        "SHA-256 of it": source["sha256"][:16] + "…",
        "epochs done": source["epochs"],
        "data": f"{run.data.known.title}, {run.data.protocol}, {run.data.stream}",
        "training clips": len(run.clips.train),
        "test clips": len(run.clips.test),
    }
    facts |= {f"pre-trained on: {name}": each for name, each in (source["data"] or {}).items()}
    for part, values in settings.items():
        said = "encoder" if part == "config" else part
        facts |= {f"{said}: {name}": value for name, value in values.items()}
    rest = flat(run.folder.config).items()
    facts |= {name: value for name, value in rest if not name.startswith(SAID_OF_CHECKPOINT)}
    for folder, results in run.folder.results:
        machine = results.get("machine", {})
        where = f"{machine.get('device_name')}, torch {machine.get('torch')}"
        facts[f"evaluation {folder.name}"] = f"seed {results.get('seed')}, on {where}"
    return [[name, str(value)] for name, value in facts.items()]


def _marks(run: Shown) -> list[list[Any]]:
    """When the queue held no random key any more: until then the loss rises."""
    data = run.provenance["data"] or {}
    steps = max((row["batch"] for row in run.folder.rows), default=0)
    size = run.model.settings.get("contrast", {}).get("queue_size")
    if not steps or not size or "batch_size" not in data:
        return []
    return [[size / (steps * data["batch_size"]), "queue full"]]


def _figures(run: Shown, untrained: Encoded, trained: Encoded) -> list[Json]:
    """Those of the evaluations, and KNN-1 of the sample beside the untrained encoder's."""
    labels, clips = run.test_labels, run.clips
    guess = chance(clips.train.labels, clips.test.labels, run.data.known.classes)
    scores = [
        100 * (clips.train.labels[each.neighbours[:, 0]] == labels).double().mean().item()
        for each in (trained, untrained)
    ]
    found = figures(run.folder, run.words, guess)
    whole, of = clips.whole, _of_sample(run)
    name = "KNN-1" if whole else "KNN-1 (this report's sample)"
    if whole:
        found = [each for each in found if each["name"] != name]
    own = figure(name, of, scores[0], len(labels), guess, random=scores[1])
    return by_weight([*found, own])


def _of_sample(run: Shown) -> str:
    clips = run.clips
    if clips.whole:
        return f"all {len(clips.test):,} test clips among all {len(clips.train):,} training clips"
    return (
        f"{len(clips.test_rows):,} of {len(clips.test):,} test clips, drawn by seed "
        f"{run.options.sample.seed}, among {len(clips.train_rows):,} of {len(clips.train):,} "
        "training clips"
    )


def _knn_answers(run: Shown, trained: Encoded) -> Json:
    names = [run.clips.test.names[row] for row in run.clips.test_rows.tolist()]
    said = run.clips.train.labels[trained.neighbours[:, 0]].tolist()
    note = f"The class of the nearest clip: {_of_sample(run)}."
    return answers("KNN-1 of this report", note, names, run.test_labels.tolist(), said)


def _gallery(run: Shown, trained: Encoded, knn: Json, store: ClipStore) -> Json:
    """Queries with their nearest training clips, drawn and of the most confused pairs."""
    sizes, clips = run.options.sample, run.clips
    most = min(len(clips.test_rows), max(1, sizes.queries // len(run.options.runs)))
    drawn = sample(len(clips.test_rows), max(1, round(DRAWN_BLINDLY * most)), sizes.seed).tolist()
    place = {clips.test.names[row]: at for at, row in enumerate(clips.test_rows.tolist())}
    confused = [place[name] for name in most_confused(knn, most)]
    added = [at for at in confused if at not in set(drawn)][: most - len(drawn)]
    note = f"{len(drawn)} of these queries were drawn blindly (seed {sizes.seed})"
    if added:
        note += (
            f", {len(added)} are of the pairs that are confused most; so the share of right ones "
            "here is not the accuracy"
        )
    return {
        "note": f"{note}. Looked up: {_of_sample(run)}. Numbers are cosine similarities.",
        "queries": [_query(at, run, trained, store) for at in sorted(drawn + added)],
    }


def _query(at: int, run: Shown, trained: Encoded, store: ClipStore) -> Json:
    frames, clips = run.options.sample.frames, run.clips
    pairs = zip(trained.neighbours[at].tolist(), trained.similarities[at].tolist(), strict=True)
    return {
        "clip": store.add(clips.test, int(clips.test_rows[at]), frames),
        "neighbours": [
            [store.add(clips.train, row, frames), round(value, 4)] for row, value in pairs
        ],
    }


def _maps(
    run: Shown, untrained: Encoded, trained: Encoded, gallery: Json, store: ClipStore, tick: Tick
) -> Json | None:
    """A map of each level before and after training, of the same test clips."""
    sizes, clips = run.options.sample, run.clips
    chosen = sample(len(clips.test_rows), sizes.map_clips, sizes.seed)
    labels = run.test_labels[chosen]
    if len(chosen) < 4:  # too few for neighbours in a plane
        return None
    levels = []
    for level in LEVELS:
        made = {"name": level, "about": ABOUT_LEVELS[level]}
        for side, encoded in (("before", untrained), ("after", trained)):
            tick(f"{run.folder.name}: map of {level} {side} training")
            features = encoded.levels[level][chosen.to(encoded.levels[level].device)]
            made[side] = flat_map(features, sizes.seed)
            made[f"share_{side}"] = neighbour_share(features, labels)
        levels.append(made)
    rows = clips.test_rows[chosen].tolist()
    note = (
        f"{len(rows):,} of {len(clips.test):,} test clips (seed {sizes.seed}), laid out by t-SNE: "
        "near points are alike, far distances and axes mean nothing. Before training: an encoder "
        "of the same shape with random weights."
    )
    return {
        "note": note,
        "chance": chance(labels, labels, run.data.known.classes),
        "points": [store.add(clips.test, row, MAP_FRAMES) for row in rows],
        "levels": levels,
    }


def _views(run: Shown) -> Json:
    """A few training clips as the steps of pre-training see them, the longest sampled first."""
    rows = run.clips.train_rows
    longest = run.clips.train.num_frames[rows].argsort(descending=True, stable=True)
    apart = longest[torch.linspace(0, len(rows) // 2, SHOWN_IN_VIEWS).long()]
    generator = torch.Generator().manual_seed(run.options.sample.seed)
    chosen = list(dict.fromkeys(rows[apart].tolist()))
    note = (
        "A step of pre-training sees each clip twice, as query and as key view: cropped, and "
        "either sheared or with 15 of its 25 joints set to zero or mixed. Rings mark the joints "
        "that were touched. The stream (joint, motion or bone) is taken afterwards. All views of a "
        "clip are drawn at one scale, and bodies lie as the published preparation leaves them."
    )
    pipeline = (run.provenance["data"] or {}).get("augmentation", PUBLISHED)
    if pipeline != PUBLISHED:
        note = f"This run was pre-trained with --augmentation {pipeline}; shown is HiCo's. {note}"
    return {"note": note, "clips": show_views(run.clips.train, chosen, generator)}
