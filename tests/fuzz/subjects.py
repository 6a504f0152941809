"""What is read: for each format samples, our reader, and a plain one that shares nothing with it.

Axes: N clips, F frames, C=3 coordinates, V=25 joints, M=2 bodies.
"""

import ast
import io
import json
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.io import loadmat, savemat

from dataset.arrays import load_arrays, load_labels
from dataset.custom import read_description
from dataset.protocols import DATASETS, PARTS
from moco import ContrastConfig, HiCo, encoder_config
from moco.published import to_published
from tests.fuzz.mutations import MUTATIONS, PLAIN, ZIPPED, Mutation
from tests.oracles.prepare import normalise_plain, spread_plain
from tests.prepare import test_bvh as bvh
from tests.support import other_formats as others
from tests.support.raw_ntu import skeleton_text
from tests.support.tiny import save_arrays, write_checkpoint
from tools import checkpoint, compare
from tools.evaluation.results import Scores, load_scores, save_scores
from tools.prepare.formats import (
    agcn,
    custom,
    frame50,
    npz,
    ntu,
    pku_mmd,
    pyskl,
    stgcn,
    ucla,
    utd_mhad,
)
from tools.prepare.pipeline.recordings import EmptyClipError, Noted, Recording
from tools.prepare.pipeline.work import check
from tools.training.log import read_rows


@dataclass(frozen=True)
class Subject:
    """One kind of file.

    Attributes:
        write: writes a whole sample into an empty folder; returns the files that are damaged.
        read: our reader of such a folder.
        plain: the plain reader of it, which may raise anything.
        mutations: the ways to damage a file.
        tolerance: how far numbers may differ where both compute them, as a share of the largest.
    """

    write: Callable[[Path], list[Path]]
    read: Callable[[Path], Any]
    plain: Callable[[Path], Any]
    mutations: tuple[Mutation, ...] = PLAIN
    tolerance: float = 0.0


SHORT = {name: clip[:, :4] for name, clip in others.draw_recordings().items()}
"""Recordings of at most four frames."""
NAMES = [f"S001C001P00{n}R001A00{n}.skeleton" for n in (1, 2)]


def recording(path: Path) -> Recording:
    return Recording(path.name, path, 0, {})


def checked(found: np.ndarray | Noted) -> np.ndarray:
    parsed = found.coordinates if isinstance(found, Noted) else found
    check(parsed)
    return parsed


# Plain readers


def plain_npy(path: Path | io.BytesIO) -> np.ndarray:
    """Read a .npy file that is exactly as long as it should be, of plain numbers."""
    content = path.read_bytes() if isinstance(path, Path) else path.getvalue()
    assert content[:6] == b"\x93NUMPY"
    wide = content[6] > 1
    begin = 12 if wide else 10
    (length,) = struct.unpack("<I" if wide else "<H", content[8:begin])
    told = ast.literal_eval(content[begin : begin + length].decode("latin1"))
    order = "F" if told["fortran_order"] else "C"
    dtype = np.dtype(told["descr"])
    assert dtype.kind in "fiubSU"
    values = np.frombuffer(content[begin + length :], dtype)
    return values.reshape(told["shape"], order=order)


class NumpyOnly:
    """For Python's unpicklers: NumPy's own functions, and only for what our reader has taken."""

    def find_class(self, module: str, name: str) -> Any:
        assert module.split(".")[0] in ("numpy", "_codecs", "builtins", "__builtin__")
        return super().find_class(module, name)


class PlainUnpickler(NumpyOnly, pickle.Unpickler):
    """The one in C, which makes room for a memo as large as an index says."""


class PatientUnpickler(NumpyOnly, pickle._Unpickler):
    """The one in Python, for indices that no memory is enough for."""


def plain_pickle(path: Path) -> Any:
    content = path.read_bytes()
    try:
        return PlainUnpickler(io.BytesIO(content)).load()
    except MemoryError:
        return PatientUnpickler(io.BytesIO(content)).load()


def plain_mat(path: Path) -> np.ndarray:
    """Read d_skel of a MATLAB file as SciPy does, once zlib has compared its checksum."""
    content = path.read_bytes()
    kind, size = struct.unpack("<II", content[128:136])
    assert kind == 14 or zlib.decompress(content[136 : 136 + size])
    return loadmat(path)["d_skel"]


def plain_skeleton(path: Path) -> np.ndarray:
    """Read a `.skeleton` file line by line; what follows x y z is not looked at."""
    lines = iter(path.read_text(encoding="ascii").splitlines())
    bodies = np.zeros((4, int(next(lines)), 25, 3))
    for frame in range(bodies.shape[1]):
        for slot in range(int(next(lines))):
            next(lines)
            assert int(next(lines)) == 25
            for joint in range(25):
                numbers = [float(number) for number in next(lines).split()[:3]]
                if slot < len(bodies):
                    bodies[slot, frame, joint] = numbers
    spread = np.array([spread_plain(body) for body in bodies])
    chosen = spread.argsort(kind="stable")[::-1][:2]
    return bodies[chosen].transpose(3, 1, 2, 0).astype(np.float32)


# Subjects


def write_skeleton(folder: Path) -> list[Path]:
    others.write_ntu(folder / "raw", dict(list(SHORT.items())[:2]))
    path = sorted((folder / "raw").iterdir())[1]
    path.rename(folder / "x.skeleton")
    return [folder / "x.skeleton"]


def write_mat(folder: Path) -> list[Path]:
    drawn = np.random.default_rng(0).normal(size=(20, 3, 4))
    savemat(folder / "x.mat", {"d_skel": drawn}, do_compression=len(folder.name) % 2 == 0)
    return [folder / "x.mat"]


def plain_utd(folder: Path) -> np.ndarray:
    skeleton = plain_mat(folder / "x.mat")
    joints = [3, 2, 1, 0, *range(4, 20), 1, 7, 7, 11, 11]
    clip = np.zeros((3, skeleton.shape[2], 25, 2), np.float32)
    clip[..., 0] = skeleton[joints].transpose(1, 2, 0)
    return clip


def write_pyskl(folder: Path) -> list[Path]:
    protocol = 2 + len(folder.name) % 4
    return [others.write_pickle(folder / "x.pkl", others.pyskl_content(SHORT), protocol)]


def clips(collection: Any) -> dict[str, Any]:
    """Name to class, parts and coordinates of all recordings; a bad one is an error."""
    if collection.bad:
        raise ValueError(next(iter(collection.bad.values())))
    found = {}
    for one in collection.recordings:
        try:
            found[one.name] = (one.label, dict(one.parts), checked(collection.read(one)))
        except EmptyClipError:
            continue
    return found


def plain_pyskl(folder: Path) -> dict[str, Any]:
    content = plain_pickle(folder / "x.pkl")
    words = {"xsub": "cross_subject", "xview": "cross_view"}
    found = {}
    for one in content["annotations"]:
        name, bodies = one["frame_dir"], one["keypoint"]
        parts = {
            words[split.split("_")[0]]: split.split("_")[1]
            for split, names in content["split"].items()
            if name in names
        }
        clip = np.zeros((3, bodies.shape[1], 25, 2), np.float32)
        clip[..., : len(bodies)] = bodies.transpose(3, 1, 2, 0)
        if parts:
            found[name] = (int(one["label"]), parts, clip[:, :300])
    return found


def write_npz(folder: Path) -> list[Path]:
    content = others.npz_content(SHORT, "cross_view")
    content = {key: x[:, :4] if key[0] == "x" else x for key, x in content.items()}
    save = np.savez_compressed if len(folder.name) % 2 else np.savez
    save(folder / "x.npz", **content)
    return [folder / "x.npz"]


def plain_members(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz file; zipfile compares the checksums."""
    with zipfile.ZipFile(path) as archive:
        return {
            name.removesuffix(".npy"): plain_npy(io.BytesIO(archive.read(name)))
            for name in archive.namelist()
        }


def plain_npz(folder: Path) -> dict[str, Any]:
    content, found = plain_members(folder / "x.npz"), {}
    for part, ending in (("train", "train"), ("val", "test")):
        labels = content[f"y_{ending}"]
        width = len(str(len(labels) - 1))
        for row, clip in enumerate(content[f"x_{ending}"]):
            frames = clip[: 1 + np.flatnonzero((clip != 0).any(1))[-1]]
            bodies = frames.reshape(-1, 2, 25, 3).transpose(3, 0, 2, 1).astype(np.float32)
            label = int(np.flatnonzero(labels[row] > 0)[0])
            found[f"{part}_{row:0{width}}"] = (label, {"cross_view": part}, bodies)
    return found


def write_pku(folder: Path) -> list[Path]:
    for name in ("skeleton", "label"):
        (folder / name).mkdir()
    damaged = []
    for video, names in (("0002-L", list(SHORT)[:2]), ("0003-L", list(SHORT)[2:4])):
        text, places = others.video_text({name: SHORT[name] for name in names}, gap=1)
        skeleton, label = folder / "skeleton" / f"{video}.txt", folder / "label" / f"{video}.txt"
        skeleton.write_text(text)
        label.write_text("".join(f"{11 + k},{a},{b},1\n" for k, (a, b) in enumerate(places)))
        damaged += [skeleton, label]
    split = folder / "cross-subject.txt"
    split.write_text("Training videos:\n0002-L, \nValidataion videos:\n0003-L\n")
    return [*damaged[:2], split]


def read_pku(folder: Path) -> Any:
    pku_mmd._lines.cache_clear()
    return clips(pku_mmd.collect(pku_mmd.Options(raw=folder)))


def plain_pku(folder: Path) -> Any:
    lines = (folder / "cross-subject.txt").read_text(errors="replace").splitlines()
    _, train, _, val = [line for line in lines if line.strip()]
    found = {}
    for part, names in (("train", train), ("val", val)):
        for video in names.replace(",", " ").split():
            rows = (folder / "skeleton" / f"{video}.txt").read_bytes().splitlines()
            labels = (folder / "label" / f"{video}.txt").read_text().splitlines()
            for k, line in enumerate(line for line in labels if line.strip()):
                action, first, last, _ = map(int, line.split(","))
                values = [
                    [float(n) for n in row.split()] for row in rows[first - 1 : max(last, 0)][:300]
                ]
                frames = np.array(values).reshape(-1, 2, 25, 3).astype(np.float32)
                if frames.any():
                    parts = {"cross_subject": part}
                    found[f"{video}_{k:03}"] = (action - 1, parts, frames.transpose(3, 0, 2, 1))
    return found


def write_frame50(folder: Path) -> list[Path]:
    drawn = np.random.default_rng(0).normal(size=(2, 3, 50, 25, 2)).astype(np.float32)
    drawn[:, :, :, 20] = 0
    np.save(folder / "train_position.npy", drawn)
    np.save(folder / "train_label.npy", np.array([[3], [59]]))
    return [folder / "train_position.npy", folder / "train_label.npy"]


def read_frame50(folder: Path) -> Any:
    options = frame50.Options(raw=folder, dataset="ntu60_frame50", protocol="cross_view")
    arrays = frame50.load(options, "train")
    for fault in frame50.find_bad(arrays, DATASETS["ntu60_frame50"]).values():
        raise ValueError(fault)
    return np.array(arrays.data), arrays.labels.tolist()


def plain_frame50(folder: Path) -> Any:
    return plain_npy(folder / "train_position.npy"), plain_npy(
        folder / "train_label.npy"
    ).ravel().tolist()


def write_own(folder: Path) -> list[Path]:
    np.save(folder / "x.npy", np.random.default_rng(0).normal(size=(2, 4, 25, 3)))
    return [folder / "x.npy"]


def plain_own(folder: Path) -> np.ndarray:
    bodies = plain_npy(folder / "x.npy")
    bodies = bodies if bodies.ndim == 4 else bodies[None]
    clip = np.zeros((3, bodies.shape[1], 25, 2), np.float32)
    clip[..., : len(bodies)] = bodies.transpose(3, 1, 2, 0)
    return clip


def write_split(folder: Path, array: str, clips: dict[str, np.ndarray]) -> list[Path]:
    """Write both parts of a split with a clip each, as ST-GCN and 2s-AGCN do."""
    for part in PARTS:
        name = next(name for name in clips if others.split_of(name, "cross_view") == part)
        np.save(folder / f"{part}_{array}.npy", clips[name][None])
        kind = [int, np.int64, np.float64, int][len(folder.name) % 4]
        content = ([f"{name}.skeleton"], [kind(others.label_of(name))])
        others.write_pickle(folder / f"{part}_label.pkl", content, 2 + len(folder.name) % 4)
    return sorted(folder.iterdir())


def plain_split(folder: Path, array: str, length: Callable[[np.ndarray], int]) -> dict[str, Any]:
    """Read both parts of a split, each clip up to its length."""
    found = {}
    for part in PARTS:
        names, labels = plain_pickle(folder / f"{part}_label.pkl")
        for name, label, clip in zip(
            names, labels, plain_npy(folder / f"{part}_{array}.npy"), strict=True
        ):
            if clip.any():
                found[name] = (int(label), {"cross_view": part}, clip[:, : length(clip)])
    return found


def read_split(format: Any, folder: Path) -> dict[str, Any]:
    stgcn._open.cache_clear()
    return clips(format.collect(format.Options(raw=folder, protocol="cross_view")))


def write_stgcn(folder: Path) -> list[Path]:
    padded = {name: np.zeros((3, 300, 25, 2), np.float32) for name in SHORT}
    for name, clip in SHORT.items():
        padded[name][:, : clip.shape[1]] = clip
    return write_split(folder, "data", padded)


def last_frame(clip: np.ndarray) -> int:
    return max(frame + 1 for frame in range(300) if clip[:, frame].any())


def write_agcn(folder: Path) -> list[Path]:
    return write_split(folder, "data_joint", NORMALISED)


NORMALISED = {name: normalise_plain(clip) for name, clip in SHORT.items()}


def plain_period(clip: np.ndarray) -> int:
    """The frames after which all that is there repeats; of two bodies the longer one."""
    first, second = clip[..., 0].astype(np.float64), clip[..., 1].astype(np.float64)
    alone = np.where(second.any(axis=0), second - second[:, :, 1:2], 0)
    whole = _plain_period(clip.reshape(3, 300, -1), 1e-6)
    longer = max(_plain_period(first, 1e-6), _plain_period(alone, 1e-5))
    return min(longer, whole) if second.any() else _plain_period(first, 1e-6)


def _plain_period(values: np.ndarray, tolerance: float) -> int:
    for period in range(1, 300):
        first, rest = values[:, : 300 - period], values[:, period:]
        alike = abs(rest[:, 0] - first[:, 0]).max() <= tolerance  # soon said where it is not
        if alike and (abs(rest - first) <= tolerance).all():
            return period
    return 300


def write_ucla(folder: Path) -> list[Path]:
    drawn = np.random.default_rng(len(folder.name)).normal(size=(3, 20, 3)).round(4)
    path = folder / "a01_s02_e03_v03.json"
    path.write_text(json.dumps({"file_name": path.stem, "label": 4, "skeletons": drawn.tolist()}))
    return [path]


def plain_ucla(folder: Path) -> dict[str, Any]:
    (path,) = folder.iterdir()
    content = json.loads(path.read_bytes())
    frames = content["skeletons"]
    clip = np.zeros((3, len(frames), 25, 2), np.float32)
    for number, frame in enumerate(frames):
        assert len(frame) == 20
        for joint, source in enumerate([*range(20), 2, 7, 7, 11, 11]):
            x, y, z = frame[source]
            assert all(type(one) in (int, float) for one in (x, y, z))
            clip[:, number, joint, 0] = x, y, z
    assert type(content["label"]) is int
    return {path.name: (content["label"] - 1, {"cross_view": "val"}, clip)}


BVH_JOINTS = ["root", "a", "b", "b end", "c", "c end"]
BVH = {"joints": [BVH_JOINTS[joint % 6] for joint in range(25)]}


def write_bvh(folder: Path) -> list[Path]:
    order = ["ZXY", "XYZ", "YXZ", "ZYX"][len(folder.name) % 4]
    root = bvh.chain(order, six=len(folder.name) % 2 == 0)
    rows = np.random.default_rng(0).uniform(-180, 180, size=(3, bvh.channels(root)))
    (folder / "x.bvh").write_text(bvh.bvh_text(root, rows))
    return [folder / "x.bvh"]


def plain_bvh(folder: Path) -> np.ndarray:
    """Place every joint by plain matrices, frame by frame."""
    head, _, motion = (folder / "x.bvh").read_text(errors="replace").partition("MOTION")
    words = iter(head.split())
    assert (next(words), next(words).upper()) == ("HIERARCHY", "ROOT")
    root = plain_bone(words)
    numbers = motion.split()
    assert [each.lower() for each in (numbers[0], *numbers[2:4])] == ["frames:", "frame", "time:"]
    frames, width, numbers = int(numbers[1]), bvh.channels(root), numbers[5:]
    assert len(numbers) == frames * width
    assert not any("_" in number for number in numbers)
    clip = np.zeros((3, frames, 25, 2))
    for frame in range(frames):
        row, found = list(map(float, numbers[frame * width : (frame + 1) * width])), {}
        bvh.walk(root, row, np.eye(4), found)
        clip[:, frame, :, 0] = np.array([found[name] for name in BVH["joints"]]).T * 0.01
    if (abs(clip[:, :, 0, 0]) <= 1e-6).all() and clip[:, :, [12, 16], 0].any():
        clip[2, :, :, 0] += 3.0 * clip[..., 0].any(axis=0)  # centred on itself: put before a camera
        clip[2, :, 0, 0] = 3.0
    return clip.astype(np.float32)


def plain_bone(words: Iterator[str], parent: str = "") -> bvh.Bone:
    """Read a joint, or an end site below a parent, and what hangs on it."""
    name = " ".join(iter(lambda: next(words), "{"))
    assert next(words).upper() == "OFFSET"
    offset = [next(words) for _ in range(3)]
    assert not any("_" in number for number in offset)
    bone = bvh.Bone(f"{parent} end" if parent else name, tuple(map(float, offset)))
    word = next(words).upper()
    if word == "CHANNELS":
        bone.channels = [next(words).capitalize() for _ in range(int(next(words)))]
        word = next(words).upper()
    while word in ("JOINT", "END"):
        bone.children.append(plain_bone(words, bone.name if word == "END" else ""))
        word = next(words).upper()
    assert word == "}"
    return bone


def write_description(folder: Path) -> list[Path]:
    described = {
        "name": "our_lab",
        "classes": ["wave", "point"],
        "pattern": "(?P<person>[a-z]+)/(?P<class>[a-z]+)_[0-9]+",
        "protocols": {"cross_subject": {"by": "person", "train": ["anna", "ben"]}},
        "joints": list(range(25)),
        "title": "Our lab",
    }
    (folder / "dataset.json").write_text(json.dumps(described, indent=1))
    return [folder / "dataset.json"]


def write_arrays(folder: Path) -> list[Path]:
    drawn = np.random.default_rng(0).normal(size=(2, 3, 300, 25, 2)).astype(np.float32)
    drawn[:, :, :, 1, 0] = 0
    save_arrays(folder, "train", drawn, [4, 300], [0, 5], NAMES)
    return sorted(folder.glob("train_*"))


def read_arrays(folder: Path) -> Any:
    arrays = load_arrays(folder, "train")
    return arrays.names, arrays.labels.tolist(), arrays.num_frames.tolist(), np.array(arrays.data)


def plain_arrays(folder: Path) -> Any:
    names, labels = plain_pickle(folder / "train_label.pkl")
    counts = plain_npy(folder / "train_num_frame.npy").tolist()
    counts = [min(count, 300) for count in counts]  # CMD counts frames that it cut off
    return names, list(map(int, labels)), counts, plain_npy(folder / "train_data_joint.npy")


def write_labels(folder: Path) -> list[Path]:
    kind = [int, np.int64, np.float64, np.float32][len(folder.name) % 4]
    content = (NAMES * 3, [kind(n) for n in range(6)])
    return [others.write_pickle(folder / "x.pkl", content, 2 + len(folder.name) % 4)]


def plain_labels(folder: Path) -> Any:
    names, labels = plain_pickle(folder / "x.pkl")
    return names, list(map(int, labels))


def write_published(folder: Path) -> list[Path]:
    write_checkpoint(folder / "x.pth.tar", hidden_size=4, queue_size=4)
    return [folder / "x.pth.tar"]


def write_ours(folder: Path) -> list[Path]:
    torch.manual_seed(0)
    config = encoder_config(hidden_size=4, granularity=2)
    method = HiCo(config, ContrastConfig(projection_size=4, queue_size=4))
    optimizer = checkpoint.make_optimizer(method, 0.1, 0.9, 0.0)
    for group in optimizer.param_groups:
        for one in group["params"]:
            one.grad = torch.ones_like(one)
    optimizer.step()
    more = {"data": {"dataset": "ntu60"}, "progress": {"epoch": 1, "batch": 0, "step": 2}}
    payload = checkpoint.pack(method, optimizer, 1, **more)
    checkpoint.save_whole(payload, folder / "x.pth.tar")
    return [folder / "x.pth.tar"]


def read_checkpoint(folder: Path) -> Any:
    path = folder / "x.pth.tar"
    payload = checkpoint.read(path)
    method = checkpoint.to_method(payload, path)
    if payload.get("optimizer"):
        optimizer = checkpoint.make_optimizer(method, 0.1, 0.9, 0.0)
        checkpoint.restore_optimizer(optimizer, payload, path)
        checkpoint.load_into(method, {"dataset": "ntu60"}, payload, path)
    return payload.get("epoch"), {name: x.numpy() for name, x in to_published(method).items()}


def plain_checkpoint(folder: Path) -> Any:
    with zipfile.ZipFile(folder / "x.pth.tar") as archive:
        assert archive.testzip() is None
    payload = torch.load(folder / "x.pth.tar", weights_only=True)
    return payload.get("epoch"), {name: x.numpy() for name, x in payload["state_dict"].items()}


def write_scores(folder: Path) -> list[Path]:
    drawn = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    names = [f"S00{n}" for n in range(5)]
    about = {"stream": "joint", "dataset": "ntu60"}
    save_scores(folder / "x.npz", Scores(names, np.arange(5), drawn, about))
    return [folder / "x.npz"]


def read_scores(folder: Path) -> Any:
    scores = load_scores(folder / "x.npz")
    return scores.names, scores.labels.tolist(), scores.scores, scores.about


def plain_scores(folder: Path) -> Any:
    content = plain_members(folder / "x.npz")
    names, labels, scores = (content.pop(key) for key in ("names", "labels", "scores"))
    about = {key: str(value) for key, value in content.items()}
    return names.tolist(), labels.tolist(), scores, about


def write_metrics(folder: Path) -> list[Path]:
    rows = [{"epoch": n, "batch": 1, "step": n + 1, "loss": 1 / (n + 3)} for n in range(6)]
    (folder / "x.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return [folder / "x.jsonl"]


def plain_metrics(folder: Path) -> Any:
    rows = []
    for line in (folder / "x.jsonl").read_bytes().splitlines():
        try:
            row = json.loads(line)
            rows += [row] if {type(x) for x in row.values()} <= {int, float} else []
        except Exception:
            continue
    return rows


def write_results(folder: Path) -> list[Path]:
    linear = {"mode": "linear", "summary": {k: {"top1": {"mean": 81.5}} for k in ("last", "best")}}
    for name, content in (("a", linear), ("b", {"at": {"1": {"top1": 70.25}}})):
        (folder / name).mkdir()
        (folder / name / "results.json").write_text(json.dumps(content, indent=2))
    return sorted(folder.rglob("*.json"))


def plain_results(folder: Path) -> Any:
    contents = [json.loads(path.read_bytes()) for path in folder.rglob("*.json")]
    linear = next(one for one in contents if one.get("mode") == "linear")["summary"]
    knn = next(one for one in contents if one.get("mode", "retrieval") == "retrieval")
    figures = knn["at"]["1"]["top1"], *(linear[k]["top1"]["mean"] for k in ("last", "best"))
    return "x", *(f"{figure:.1f}" for figure in figures)


def write_custom_skeleton(folder: Path) -> list[Path]:
    body = np.random.default_rng(1).normal(size=(3, 25, 3))
    text = skeleton_text([[one] for one in body], end="\n").replace(" 250.0", "  250.0")
    (folder / "x.skeleton").write_text(text)
    return [folder / "x.skeleton"]


SKELETON_READERS = (
    lambda folder: checked(ntu.read(recording(folder / "x.skeleton"))),
    lambda folder: plain_skeleton(folder / "x.skeleton"),
)
SUBJECTS = {
    "skeleton": Subject(write_skeleton, *SKELETON_READERS),
    "odd-skeleton": Subject(write_custom_skeleton, *SKELETON_READERS),
    "mat": Subject(
        write_mat, lambda folder: checked(utd_mhad.read(recording(folder / "x.mat"))), plain_utd
    ),
    "pyskl": Subject(
        write_pyskl,
        lambda folder: clips(pyskl.collect(pyskl.Options(raw=folder / "x.pkl"))),
        plain_pyskl,
    ),
    "npz": Subject(
        write_npz,
        lambda folder: clips(npz.collect(npz.Options(raw=folder / "x.npz", protocol="cross_view"))),
        plain_npz,
        ZIPPED,
    ),
    "pku-mmd": Subject(write_pku, read_pku, plain_pku),
    "frame50": Subject(write_frame50, read_frame50, plain_frame50),
    "custom": Subject(
        write_own,
        lambda folder: checked(custom.Reader.of({})(recording(folder / "x.npy"))),
        plain_own,
    ),
    "stgcn": Subject(
        write_stgcn,
        lambda folder: read_split(stgcn, folder),
        lambda folder: plain_split(folder, "data", last_frame),
    ),
    "agcn": Subject(
        write_agcn,
        lambda folder: read_split(agcn, folder),
        lambda folder: plain_split(folder, "data_joint", plain_period),
    ),
    "ucla": Subject(
        write_ucla, lambda folder: clips(ucla.collect(ucla.Options(raw=folder))), plain_ucla
    ),
    "bvh": Subject(
        write_bvh,
        lambda folder: checked(custom.Reader.of(BVH)(recording(folder / "x.bvh"))),
        plain_bvh,
        tolerance=1e-6,
    ),
    "dataset.json": Subject(
        write_description,
        lambda folder: read_description(folder / "dataset.json"),
        lambda folder: json.loads((folder / "dataset.json").read_bytes()),
    ),
    "arrays": Subject(write_arrays, read_arrays, plain_arrays),
    "labels": Subject(write_labels, lambda folder: load_labels(folder / "x.pkl"), plain_labels),
    "published": Subject(write_published, read_checkpoint, plain_checkpoint, ZIPPED),
    "checkpoint": Subject(write_ours, read_checkpoint, plain_checkpoint, ZIPPED),
    "scores": Subject(write_scores, read_scores, plain_scores, ZIPPED),
    "metrics.jsonl": Subject(
        write_metrics, lambda folder: read_rows(folder / "x.jsonl"), plain_metrics
    ),
    "results.json": Subject(write_results, lambda folder: compare.row("x", folder), plain_results),
}
"""Every format that is read, by the name that the command takes."""


def damage(subject: Subject, paths: list[Path], draw: random.Random, only: str = "") -> None:
    """Damage one file of a sample, in any way or in the one that is named."""
    path, way = draw.choice(paths), draw.choice(subject.mutations)
    way = MUTATIONS.get(only, way)
    path.write_bytes(way(path.read_bytes(), draw))
