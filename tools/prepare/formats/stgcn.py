"""ST-GCN, CrosSCLR and AimCLR arrays of 300 frames: `python -m tools.prepare stgcn --raw DIR`.

A folder holds one split: `{part}_data.npy` float32 (N, 3, 300, 25, 2), raw metres with a tail of
zeros, and `{part}_label.pkl`, a pickle of (names, classes from 0 on).

Axes: N clips, C=3 coordinates (metres), T stored and F recorded frames, V=25 joints, M=2 bodies.
"""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dataset.arrays import load_coordinates
from dataset.origin import FRAME50, PUBLISHED, origin
from dataset.pickles import load_plain
from dataset.protocols import DATASETS, PARTS, DataSet, split_folder
from options.parser import REQUIRED
from options.prepare import BuildOptions, choice_option, raw_option
from tools.prepare.formats.npz import FORMS, PROTOCOLS
from tools.prepare.formats.ntu import SUFFIX, ClipName
from tools.prepare.pipeline.recordings import Collection, EmptyClipError, Recording, state


@dataclass(frozen=True, kw_only=True)
class Options(BuildOptions):
    """Which split to prepare."""

    loses: ClassVar = (
        "bodies beyond the first two listed in a frame, and which of them is who",
        "how long a clip went on after nobody was seen any more",
    )
    raw: Path = raw_option("folder of one split, with train_data.npy and train_label.pkl")
    dataset: str = choice_option("ntu60", FORMS, "what the folder holds")
    protocol: str = choice_option(REQUIRED, PROTOCOLS, "which of its splits")


@dataclass(frozen=True)
class Rows:
    """Reads recordings, whose paths end in `{part}_{row}`, from the arrays of both parts.

    Attributes:
        paths: the array of each part, (N, 3, T, 25, 2).
    """

    paths: Mapping[str, Path]

    def __call__(self, recording: Recording) -> np.ndarray:
        """Read one recording up to its last frame that is not zero: (3, F, 25, 2) metres."""
        clip = self.clip(*self.place(recording))
        return clip[:, : 1 + int(np.flatnonzero(clip.any(axis=(0, 2, 3)))[-1])]

    def place(self, recording: Recording) -> tuple[str, int]:
        """Part and row of a recording."""
        part, _, row = recording.path.name.partition("_")
        return part, int(row)

    def clip(self, part: str, row: int) -> np.ndarray:
        """Read a whole row: (3, T, 25, 2)."""
        clip = np.array(_open(self.paths[part])[row])
        if not clip.any():
            raise EmptyClipError
        return clip


_open = lru_cache(maxsize=len(PARTS))(load_coordinates)


def collect(options: Options) -> Collection:
    """Find the clips of the folder."""
    found = collect_split(options, "data", Rows)
    check_origin(found.read.paths, (PUBLISHED, FRAME50), "agcn")
    return found


def collect_split(options: Options, array: str, reader: type[Rows]) -> Collection:
    """Find the clips of a folder that has `{part}_{array}.npy` and `{part}_label.pkl`.

    Args:
        options: the folder, and which split it is.
        array: what the arrays are called.
        reader: reads the clips.
    """
    dataset, protocol, raw = DATASETS[options.dataset], options.protocol, options.raw
    split_folder("", dataset, protocol)  # refuses a protocol that it does not have
    paths = {part: raw / f"{part}_{array}.npy" for part in PARTS}
    recordings, seen = [], dict[str, str]()
    for part, path in paths.items():
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}; give --raw the folder of one split")
        names, labels = read_labels(raw / f"{part}_label.pkl", dataset)
        held = len(load_coordinates(path))
        if len(names) != held:
            raise ValueError(f"{path} holds {held} clips, {part}_label.pkl names {len(names)}")
        for row, (name, label) in enumerate(zip(names, labels, strict=True)):
            if name in seen:
                raise ValueError(f"{raw}: {name} is twice in it, in {seen[name]} and in {part}")
            seen[name] = part
            recordings.append(Recording(name, raw / f"{part}_{row}", label, {protocol: part}))
    _check_parts(seen, dataset, protocol)
    states = [state(path) for path in paths.values()]
    return Collection(
        replace(dataset, folders={protocol: dataset.folders[protocol]}),
        recordings,
        reader(paths),
        item="clip",
        settings=f"{array} {states}",
    )


def read_labels(path: Path, dataset: DataSet) -> tuple[list[str], list[int]]:
    """Read names and classes from 0 on; whole numbers of NumPy and floats are taken too."""
    content = load_plain(path)
    if not isinstance(content, list | tuple) or len(content) != 2:
        raise ValueError(f"{path} is not a pickle of names and classes")
    names, labels = (one.tolist() if isinstance(one, np.ndarray) else one for one in content)
    if not all(isinstance(one, list | tuple) for one in (names, labels)):
        raise ValueError(f"{path} is not a pickle of two lists, names and classes")
    if len(names) != len(labels):
        raise ValueError(f"{path} has {len(names)} names and {len(labels)} classes")
    strange = [name for name in names if not isinstance(name, str)]
    if strange:
        raise ValueError(f"{path}: a name is {type(strange[0]).__name__}, not text")
    return list(names), [_class(path, label, dataset.classes) for label in labels]


def _class(path: Path, label: Any, classes: int) -> int:
    """The class that a label is."""
    try:
        whole = int(label) if isinstance(label, float) and label == int(label) else None
        number = operator.index(label) if whole is None else whole
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{path}: class {label!r:.40} is not a whole number") from None
    if not 0 <= number < classes:
        raise ValueError(f"{path}: class {number} is not 0 to {classes - 1}; choose --dataset")
    return number


def _check_parts(parts: Mapping[str, str], dataset: DataSet, protocol: str) -> None:
    """Refuse names of NTU RGB+D that the protocol puts into the other part."""
    rule = dataset.rules.get(protocol)
    for name, part in parts.items() if rule else ():
        try:
            clip = ClipName.parse(name.removesuffix(SUFFIX))
        except ValueError:
            continue
        if rule.part(getattr(clip, rule.by)) != part:
            raise ValueError(
                f"{name} is in {part}, but not by {protocol} of {dataset.name}; choose another "
                "--protocol or --dataset"
            )


def check_origin(paths: Mapping[str, Path], wrong: Sequence[str], other: str) -> None:
    """Refuse arrays of some origins, which arrays of another format have."""
    for path in paths.values():
        data = load_coordinates(path)
        found = origin(data, np.full(len(data), data.shape[2]))
        if found in wrong:
            raise ValueError(f"{path}: its origin is {found}; try python -m tools.prepare {other}")
