"""PYSKL and MMAction2 pickles to arrays, `python -m tools.prepare pyskl --raw FILE`.

A pickle of a dict: `split` gives lists of names, `xsub_train`, `xsub_val` and so on; `annotations`
is a list of dicts with `frame_dir` (the name), `label` (from 0 on), `total_frames` and `keypoint`,
float16 (M, F, 25, 3) metres as the camera saw them, neither centred nor turned.

Axes: F frames, C=3 coordinates (metres), V=25 joints, M=1 or 2 bodies.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dataset.pickles import load_plain
from dataset.protocols import DATASETS, PARTS, DataSet
from dataset.reading import shown
from dataset.skeleton import MAX_FRAMES, NUM_COORDINATES, NUM_JOINTS
from options.prepare import BuildOptions, choice_option, raw_option
from tools.prepare.pipeline.recordings import (
    Collection,
    EmptyClipError,
    Recording,
    remarks_on,
    state,
    two_bodies,
)

PROTOCOLS = {"cross_view": "xview", "cross_subject": "xsub", "cross_setup": "xset"}
"""What the pickles call a protocol; `_train` and `_val` follow."""


@dataclass(frozen=True, kw_only=True)
class Options(BuildOptions):
    """Which pickle to prepare."""

    loses: ClassVar = (
        "float16 rounds coordinates: once turned, by 0.5 mm in the median and by 8 mm at most",
        "when frames were empty, where PYSKL dropped them",
        "bodies taken for noise, and the order of two bodies, where PYSKL chose them",
    )
    raw: Path = raw_option(
        "the pickle, such as ntu60_3danno.pkl or ntu60_3d.pkl; read in one process, whatever -j "
        "says",
        "FILE",
    )
    dataset: str = choice_option("ntu60", ("ntu60", "ntu120"), "what the pickle holds")


@dataclass(frozen=True)
class Annotations:
    """Reads recordings from the annotations of a pickle that is in memory, by name."""

    by_name: Mapping[str, Mapping[str, Any]]

    def __call__(self, recording: Recording) -> np.ndarray:
        """Read the first 300 frames of a recording: (3, F, 25, 2) float32 metres."""
        bodies = _keypoint(self.by_name[recording.name])
        if not len(bodies):  # how MMAction2 writes a clip with nobody in it
            raise EmptyClipError
        return two_bodies(bodies[:, :MAX_FRAMES])


def _keypoint(annotation: Mapping[str, Any]) -> np.ndarray:
    """Return the coordinates (M, F, V, C) of an annotation, checked."""
    bodies = annotation.get("keypoint")
    if not isinstance(bodies, np.ndarray) or bodies.dtype.kind != "f":
        raise ValueError("its keypoint is no array of numbers")
    if bodies.ndim != 4 or bodies.shape[2:] != (NUM_JOINTS, NUM_COORDINATES):
        raise ValueError(
            f"its keypoint has shape {bodies.shape}, not (bodies, frames, 25, 3): "
            "only 3D skeletons of the second Kinect can be prepared"
        )
    frames = annotation.get("total_frames", bodies.shape[1])
    if frames != bodies.shape[1]:
        raise ValueError(f"it has {bodies.shape[1]} frames, its total_frames says {shown(frames)}")
    return bodies


def collect(options: Options) -> Collection:
    """Read a pickle and find the recordings of its splits."""
    raw, dataset = options.raw, DATASETS[options.dataset]
    content = load_plain(raw)
    if not isinstance(content, dict) or not {"split", "annotations"} <= content.keys():
        raise ValueError(f"{raw} holds no dict of split and annotations, as PYSKL pickles do")
    parts = _read_splits(raw, content["split"], dataset)
    by_name, bad = _by_name(raw, content["annotations"])
    recordings = []
    for name, split in parts.items():
        fault = _fault(by_name.get(name), dataset, split)
        if fault:
            bad[raw / name] = fault
        else:
            recordings.append(Recording(name, raw / name, by_name[name]["label"], split))
    present = {protocol for split in parts.values() for protocol in split}
    folders = {name: folder for name, folder in dataset.folders.items() if name in present}
    return Collection(
        replace(dataset, folders=folders),
        recordings,
        Annotations(by_name),
        bad,
        _remarks(by_name, parts),
        item="clip",
        settings=f"pyskl {state(raw)}",
        in_one_process=True,
    )


def _read_splits(raw: Path, split: object, dataset: DataSet) -> dict[str, dict[str, str]]:
    """Return, for each name in a split list, its part in each protocol of the pickle."""
    short = [PROTOCOLS[protocol] for protocol in dataset.folders]
    wanted = {f"{one}_{part}" for one in short for part in PARTS}
    lists = split if isinstance(split, dict) else {}
    strangers = ", ".join(str(key) for key in lists if key not in wanted)
    if not lists.keys() & wanted:
        has = strangers or "none"
        raise ValueError(f"{raw} has no split of {dataset.name}; it has {has}; choose --dataset")
    if strangers:
        raise ValueError(
            f"{raw} has {strangers}, which {dataset.name} has not; it has {', '.join(short)}; "
            "choose another --dataset"
        )
    parts: dict[str, dict[str, str]] = {}
    for protocol in sorted(dataset.folders, key=PROTOCOLS.get):
        _add_lists(raw, lists, protocol, parts)
    return parts


def _add_lists(
    raw: Path, lists: Mapping[str, object], protocol: str, parts: dict[str, dict[str, str]]
) -> None:
    """Note the part in one protocol of all names in its two lists, if it has any."""
    keys = {f"{PROTOCOLS[protocol]}_{part}": part for part in PARTS}
    present = [key for key in keys if key in lists]
    if not present:
        return
    for key, part in keys.items():
        if key not in lists:
            raise ValueError(f"{raw} has {present[0]} but no {key}")
        names = lists[key]
        if not isinstance(names, list | tuple) or not all(type(name) is str for name in names):
            raise ValueError(f"{raw}: {key} is not a list of names")
        for name in names:
            before = parts.setdefault(name, {}).setdefault(protocol, "")
            if before == part:
                raise ValueError(f"{raw}: {key} names {name} twice")
            if before:
                raise ValueError(f"{raw}: {name} is in {PROTOCOLS[protocol]}_{before} and in {key}")
            parts[name][protocol] = part


def _by_name(raw: Path, annotations: object) -> tuple[dict[str, dict], dict[Path, str]]:
    """Return the annotations by name, and the places and faults of those without one."""
    if not isinstance(annotations, list | tuple):
        raise ValueError(f"{raw}: its annotations are no list")
    by_name: dict[str, dict] = {}
    bad = {}
    for index, annotation in enumerate(annotations):
        name = annotation.get("frame_dir") if isinstance(annotation, dict) else None
        if type(name) is not str:
            what = "None" if annotation is None else type(annotation).__name__
            bad[raw / f"annotations[{index}]"] = f"it is {what}, not a dict of frame_dir and more"
        elif name in by_name:
            raise ValueError(f"{raw} has two annotations of {name}")
        else:
            by_name[name] = annotation
    return by_name, bad


def _fault(annotation: Mapping[str, Any] | None, dataset: DataSet, split: dict[str, str]) -> str:
    """Say what keeps a recording from being one of the data set's, or return ""."""
    if annotation is None:
        protocol, part = next(iter(split.items()))
        return f"it has no annotation, but is in {PROTOCOLS[protocol]}_{part}"
    label = annotation.get("label")
    if type(label) is not int or not 0 <= label < dataset.classes:
        return f"its label is {shown(label)}, not 0 to {dataset.classes - 1}"
    return ""


def _remarks(by_name: Mapping[str, Mapping[str, Any]], parts: Mapping[str, Any]) -> list[str]:
    """Count what is left out on purpose."""
    keypoints = [by_name[name].get("keypoint") for name in by_name if name in parts]
    shapes = [getattr(keypoint, "shape", ()) for keypoint in keypoints]
    return remarks_on(
        (len(by_name.keys() - parts.keys()), "annotation", "ignored: in none of the splits"),
        (
            sum(len(shape) == 4 and shape[1] > MAX_FRAMES for shape in shapes),
            "clip",
            f"cut to its first {MAX_FRAMES} frames",
        ),
    )
