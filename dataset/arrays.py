"""The on-disk format of one part of a split, both ways: written whole or not at all, read checked.

Axes: N clips, C=3 coordinates (metres), T frames, V=25 joints, M=2 bodies.

    {part}_data_joint.npy   float32 (N, 3, 300, 25, 2)
    {part}_num_frame.npy    int64 (N,), frames that were recorded; behind them the clip repeats
    {part}_label.pkl        pickle of (list of N file names, list of N classes from 0 on)

Splits of the kind frame50 have {part}_position.npy (N, 3, 50, 25, 2) instead, and no frame counts:
every clip counts all its frames. Their labels may be {part}_label.npy, without names. While parts
are being written they lie in a folder beside, whose name ends in ".partial"; then that folder takes
the place of the old one. Of one's own data set that is the folder of all protocols, in which its
description lies.
"""

import io
import math
import os
import pickle
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dataset.custom import DESCRIPTION
from dataset.origin import FRAME50, PUBLISHED, odd_size, origin
from dataset.pickles import load_plain
from dataset.prepared import PREPARED, read_prepared, warn_once, whole
from dataset.reading import reading
from dataset.skeleton import MAX_FRAMES, NUM_BODIES, NUM_COORDINATES, NUM_JOINTS
from dataset.swap import put_in_place, recover

PARTIAL = ".partial"
AGAIN = "prepare the data set again"
ORIGINS = ("published", "any")
"""Which clips are read: only those with their origin where the published ones have it, or all."""
_SURROGATE = re.compile("[\ud800-\udfff]")  # what UTF-8 cannot say
_PLAIN = "fiubSU"  # kinds of dtypes that hold their values themselves
_FIXED = "_position.npy"


@dataclass(frozen=True)
class SplitArrays:
    """One part of a split, as it lies on disk.

    Attributes:
        path: the file the coordinates are in, for messages.
        data: (N, 3, T, 25, 2) float32 coordinates in metres, a read-only memory map.
        num_frames: (N,) int64 recorded frames of each clip, 1 to T.
        labels: (N,) int64 classes, from 0 on.
        names: N file names of the recordings.
        origin: where the clips have their origin, as `dataset.origin` says.
        prepared: what `dataset.prepared` says of them; None where nothing does.
    """

    path: Path
    data: np.ndarray
    num_frames: np.ndarray
    labels: np.ndarray
    names: list[str]
    origin: str = ""
    prepared: dict[str, Any] | None = None

    @property
    def resized(self) -> bool:
        """Whether all clips were resized to one number of frames, as frame50 does."""
        return self.path.name.endswith(_FIXED)


@dataclass(frozen=True)
class SplitFiles:
    """Where the three files of one part of a split lie."""

    data: Path
    num_frames: Path
    labels: Path

    @classmethod
    def of(cls, folder: Path | str, part: str, resized: bool = False) -> "SplitFiles":
        """Name the files of one part ("train" or "val") in a folder."""
        data = _FIXED if resized else "_data_joint.npy"
        names = (data, "_num_frame.npy", "_label.pkl")
        return cls(*(Path(folder) / f"{part}{name}" for name in names))


@whole
def load_split(folder: Path | str, origin: str = ORIGINS[0]) -> list[SplitArrays]:
    """Read both parts of a split, the training part first, as `load_arrays` does."""
    return [load_arrays(folder, part, origin=origin) for part in ("train", "val")]


@whole
def load_arrays(
    folder: Path | str, part: str, labels: Path | None = None, origin: str = ORIGINS[0]
) -> SplitArrays:
    """Read one part of a split; the coordinates stay on disk.

    Args:
        folder: the folder of the protocol, as dataset.protocols.split_folder names it.
        part: "train" or "val".
        labels: a label file that lies elsewhere.
        origin: one of ORIGINS.

    Raises:
        FileNotFoundError: when the part, or one of its files, is not there.
        ValueError: when a file is damaged, the files do not belong together, or the clips were
            prepared in another way than the published one.
    """
    files = SplitFiles.of(folder, part)
    fixed = Path(folder) / f"{part}{_FIXED}"
    if files.data.is_file() or not fixed.is_file():
        data = load_coordinates(files.data)
        num_frames = load_frame_counts(files.num_frames, data)
    else:
        files = SplitFiles(fixed, files.num_frames, files.labels)
        data = load_coordinates(fixed)
        num_frames = np.full(len(data), data.shape[2], dtype=np.int64)
    files = replace(files, labels=labels or files.labels)
    names, classes = _names_and_labels(files, part)
    if len(names) != len(data):
        fault = f"names {len(names)} clips, {files.data.name} holds {len(data)}"
        raise ValueError(f"{files.labels} {fault}; {AGAIN}")
    found = _check_origin(files.data, data, num_frames, origin)
    odd = odd_size(data, num_frames)
    if odd:
        warn_once(f"{files.data}: {odd}")
    prepared = _prepared(folder, part, len(data))
    classes = np.array(classes, dtype=np.int64)
    return SplitArrays(files.data, data, num_frames, classes, names, found, prepared)


def _prepared(folder: Path | str, part: str, clips: int) -> dict[str, Any] | None:
    """Read what is known of a part, refusing what speaks of other arrays."""
    prepared = read_prepared(folder)
    if prepared is not None and prepared["counts"].get(part) != clips:
        fault = f"speaks of {prepared['counts'].get(part)} {part} clips, there are {clips}"
        raise ValueError(f"{Path(folder) / PREPARED} {fault}; {AGAIN}, or remove that file")
    return prepared


def _check_origin(path: Path, data: np.ndarray, num_frames: np.ndarray, wanted: str) -> str:
    """Refuse clips that were not prepared as published; of resized ones, whose ways vary, warn."""
    found = origin(data, num_frames)
    if path.name.endswith(_FIXED):
        if found and found != FRAME50:
            warn_once(f"{path}: its origin is {found}; expected: {FRAME50}")
    elif found and found != PUBLISHED:
        if wanted != "any":
            raise ValueError(
                f"{path}: its origin is {found}, not {PUBLISHED}; bring it to that with python -m "
                "tools.prepare FORMAT, or give --origin any if you know that you want this"
            )
        warn_once(f"{path.parent}: its origin is {found}; figures do not compare with published")
    return found


def _names_and_labels(files: SplitFiles, part: str) -> tuple[list[str], list[int]]:
    """Read names and classes; of resized clips without names, number them."""
    array = files.data.with_name(f"{part}_label.npy")
    if files.labels.is_file() or not (files.data.name.endswith(_FIXED) and array.is_file()):
        return load_labels(files.labels)
    labels = load_label_array(array)
    return placeholders(part, len(labels)), labels


def placeholders(part: str, clips: int) -> list[str]:
    """Name clips that have no names: train_000 and so on, sorted as they come."""
    width = len(str(clips - 1))
    return [f"{part}_{row:0{width}}" for row in range(clips)]


def load_label_array(path: Path) -> list[int]:
    """Read the classes of one part from a .npy file, (N,) or (N, 1) integers from 0 on.

    Raises:
        FileNotFoundError: when the file is not there.
        ValueError: when it holds anything else.
    """
    labels = map_array(path)
    if labels.ndim not in (1, 2) or labels.size != len(labels):
        raise ValueError(f"{path} has shape {labels.shape}, not (N,) or (N, 1)")
    if labels.dtype.kind not in "iu" or (labels < 0).any():
        raise ValueError(f"{path} holds what is not an integer from 0 on")
    return labels.reshape(-1).tolist()


def load_labels(path: Path) -> tuple[list[str], list[int]]:
    """Read the file names and classes of one part, running no code that the file may carry.

    Raises:
        FileNotFoundError: when the file is not there.
        ValueError: when it holds anything but a list of names and a list of classes.
    """
    _must_exist(path)
    content = load_plain(path, "a readable label file")
    fault = _label_fault(content)
    if fault:
        raise ValueError(f"{path} is not a (names, labels) pickle: {fault}")
    return list(content[0]), list(map(int, content[1]))


def _label_fault(content: object) -> str:
    """Say what keeps a pickle's content from being (names, labels), or return ""."""
    lists = tuple | list
    if not isinstance(content, lists) or [isinstance(one, lists) for one in content] != [True] * 2:
        return "it holds no pair of lists"
    names, labels = content
    if len(names) != len(labels):
        return f"{len(names)} names, {len(labels)} labels"
    if not all(type(name) is str and not _SURROGATE.search(name) for name in names):
        return "a name is not a string"
    if not all(type(label) in (int, float) and 0 <= label < 2**31 for label in labels):
        return "a label is not an integer from 0 on"
    if not all(label == int(label) for label in labels):  # CMD's are floats
        return "a label is not a whole number"
    return ""


def load_coordinates(path: Path) -> np.ndarray:
    """Map the coordinates of one part and check that they are skeletons."""
    data = map_array(path)
    T = data.shape[2] if data.ndim == 5 else MAX_FRAMES
    expected = (len(data) if data.ndim else 0, NUM_COORDINATES, T, NUM_JOINTS, NUM_BODIES)
    if data.shape != expected or T < 1:
        raise ValueError(f"{path} has shape {data.shape}, not (N, 3, T, 25, 2)")
    if data.dtype != np.float32:
        raise ValueError(f"{path} holds {data.dtype}, not float32; convert it once with astype")
    return data


def load_frame_counts(path: Path, data: np.ndarray) -> np.ndarray:
    """Read the recorded frames of each clip and check them against the coordinates.

    Counts beyond 300, as CMD keeps them of PKU-MMD's longer clips, become 300 with a warning.
    """
    counts = map_array(path)
    if counts.shape != data.shape[:1] or counts.dtype.kind not in "iu":
        fault = f"{counts.dtype} {counts.shape}, not one integer for each of {len(data)} clips"
        raise ValueError(f"{path} holds {fault}; {AGAIN}")
    counts = np.array(counts, dtype=np.int64)
    long = int((counts > MAX_FRAMES).sum()) if data.shape[2] == MAX_FRAMES else 0
    if long:
        most = f"{long} clips count more than {MAX_FRAMES} frames, up to {counts.max()}"
        warn_once(f"{path}: {most}; {MAX_FRAMES} are there and are taken")
        counts = counts.clip(max=MAX_FRAMES)
    wrong = np.flatnonzero((counts < 1) | (counts > data.shape[2]))
    if len(wrong):
        fault = f"clip {wrong[0]} counts {counts[wrong[0]]} frames, not 1 to {data.shape[2]}"
        raise ValueError(f"{path}: {fault}; {AGAIN}")
    return counts


def map_array(path: Path, called: str = "", next_step: str = AGAIN) -> np.ndarray:
    """Map a .npy file of plain values that is exactly as long as its header says.

    Args:
        path: the file.
        called: what messages call it, where that is not its path.
        next_step: what they say is to be done.

    Raises:
        FileNotFoundError: when the file is not there.
        ValueError: when it holds no element, too few bytes or too many, or objects.
    """
    _must_exist(path)
    with reading(called or path, "a whole .npy file", next_step):
        array = np.lib.format.open_memmap(path, mode="r")
        size = path.stat().st_size - array.offset
        if not array.size or array.dtype.kind not in _PLAIN or size != array.nbytes:
            raise ValueError(f"{size} bytes follow a header of {array.dtype} {array.shape}")
    return array


def _must_exist(path: Path) -> None:
    if path.is_file():
        return
    if any(_partial(path, root).is_file() for root in (path.parent, path.parent.parent)):
        raise FileNotFoundError(
            f"{path} is not finished; run the same python -m tools.prepare command to complete it"
        )
    raise FileNotFoundError(f"no file {path}; check --data-path or run python -m tools.prepare")


def _partial(path: Path, root: Path) -> Path:
    """Where a file lies until its root is finished; beside the folder that a link leads to."""
    place = root.resolve()
    return place.with_name(place.name + PARTIAL) / path.relative_to(root)


class SplitWriter:
    """One part of a split on its way to disk: rows in any order, from any process.

    Rows go to a file in a temporary folder until `publish` puts that in place. They are
    written at their offset, not through a memory map: a full disk is then an error to report and
    not a bus error, and no page counts as this process' memory, however large the split.
    """

    def __init__(
        self,
        folder: Path | str,
        part: str,
        clips: int,
        frames: int | None = None,
        root: Path | None = None,
    ) -> None:
        """Describe a part; nothing is written yet.

        Args:
            folder: the folder of the protocol; made when needed.
            part: "train" or "val".
            clips: how many clips it will hold, N >= 1.
            frames: that all clips were resized to; without it they are recorded ones.
            root: the folder that is put in place at once, with all that lies in it; without it that
                of the protocol.

        Raises:
            ValueError: when there is no clip.
        """
        if clips < 1:
            raise ValueError(f"the {part} part of {folder} would hold no clip")
        self.files = SplitFiles.of(folder, part, resized=frames is not None)
        self.part, self.clips, self.resized = part, clips, frames is not None
        self.root = self.folder if root is None else root
        self._clip_shape = (NUM_COORDINATES, frames or MAX_FRAMES, NUM_JOINTS, NUM_BODIES)

    @property
    def folder(self) -> Path:
        """The folder of the protocol."""
        return self.files.data.parent

    @property
    def unfinished(self) -> Path:
        """The folder that all is written to until it is published."""
        return self.place(self.files.data).parent

    def place(self, path: Path) -> Path:
        """Where a file of the root lies until it is published."""
        return _partial(path, self.root)

    @property
    def paths(self) -> list[Path]:
        """Where its files are going to lie."""
        paths = [self.files.data, self.files.num_frames, self.files.labels]
        return paths[::2] if self.resized else paths

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, 3, T, 25, 2)."""
        return (self.clips, *self._clip_shape)

    @property
    def _row_size(self) -> int:
        """Bytes of one clip."""
        return 4 * math.prod(self._clip_shape)

    @property
    def size(self) -> int:
        """Bytes of the file of coordinates."""
        return len(self._header()) + self.clips * self._row_size

    @property
    def size_on_disk(self) -> int:
        """Bytes that the file of coordinates takes now; less than its size until all is written."""
        path = self.place(self.files.data)
        return path.stat().st_blocks * 512 if path.is_file() else 0

    def create(self) -> None:
        """Start the file of coordinates anew, with all clips zero."""
        self.unfinished.mkdir(parents=True, exist_ok=True)
        with unfinished_file(self.place(self.files.data)) as file:
            file.write(self._header())
            file.truncate(self.size)

    def is_started(self) -> bool:
        """Whether an interrupted writer of the same shape has left its coordinates here."""
        path = self.place(self.files.data)
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        with path.open("rb") as file:
            return file.read(len(self._header())) == self._header()

    def write(self, row: int, clip: np.ndarray) -> None:
        """Write one clip.

        Args:
            row: its place, 0 <= row < N.
            clip: (3, 300, 25, 2) coordinates in metres.

        Raises:
            ValueError: for a row or a shape that does not fit.
        """
        if clip.shape != self.shape[1:] or not 0 <= row < self.clips:
            raise ValueError(f"clip {clip.shape} does not fit row {row} of {self.shape}")
        with unfinished_file(self.place(self.files.data), "r+b") as file:
            file.seek(len(self._header()) + row * self._row_size)
            file.write(np.ascontiguousarray(clip, dtype=np.float32).data)

    def sync(self) -> None:
        """Return when everything written so far, by any process, is on the disk itself."""
        with unfinished_file(self.place(self.files.data), "r+b") as file:
            os.fsync(file.fileno())

    def drop(self, rows: Iterable[int]) -> None:
        """Take clips out, moving the later ones up; not to be interrupted and then resumed.

        Raises:
            ValueError: when no clip would be left.
        """
        dropped = set(rows)
        kept = [row for row in range(self.clips) if row not in dropped]
        if not kept:
            raise ValueError(f"no clip would be left in {self.files.data}")
        start = len(self._header())
        with unfinished_file(self.place(self.files.data), "r+b") as file:
            for new, old in enumerate(kept):
                if new != old:
                    file.seek(start + old * self._row_size)
                    clip = file.read(self._row_size)
                    file.seek(start + new * self._row_size)
                    file.write(clip)
            self.clips = len(kept)
            file.seek(0)
            file.write(self._header())
            file.truncate(self.size)

    def discard(self) -> None:
        """Remove everything unfinished, and bring back what a killed process had put aside."""
        recover(self.root.resolve())
        for path in (*astuple(self.files), self.folder / PREPARED, self.root / DESCRIPTION):
            self.place(path).unlink(missing_ok=True)
        with suppress(OSError):  # the other part, or files of others, are in it
            self.unfinished.rmdir()
            self.place(self.root).rmdir()

    def describe(
        self, names: Sequence[str], labels: Sequence[int], num_frames: Sequence[int]
    ) -> None:
        """Write what belongs to the clips, in their order, as unfinished as they are.

        Args:
            names: N file names.
            labels: N classes, from 0 on.
            num_frames: N recorded frames.

        Raises:
            ValueError: when there is not one of each for each clip.
        """
        counts = [len(names), len(labels), len(num_frames)]
        if counts != [self.clips] * 3:
            raise ValueError(f"{counts} names, labels, frame counts for {self.clips} clips")
        named = (list(names), [int(label) for label in labels])
        write_unfinished(self.place(self.files.labels), pickle.dumps(named, protocol=4))
        if not self.resized:
            counts = io.BytesIO()  # np.save into a file does not say why the disk took no more
            np.save(counts, np.asarray(num_frames, dtype=np.int64))
            write_unfinished(self.place(self.files.num_frames), counts.getvalue())

    def _header(self) -> bytes:
        """The first bytes of the .npy file; numpy pads them to one length for any N."""
        header = io.BytesIO()
        description = {"descr": "<f4", "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(header, description)
        return header.getvalue()


def publish(writers: Sequence[SplitWriter]) -> None:
    """Put described parts in place, each root at once.

    A process that reads meanwhile, or a kill at any moment, finds the old folder or the new one.
    """
    for writer in writers:
        writer.sync()
    for root in dict.fromkeys(writer.root for writer in writers):
        put_in_place(_partial(root, root), root.resolve(), dropped=(PREPARED,))


@contextmanager
def unfinished_file(path: Path, mode: str = "wb") -> Iterator[io.BufferedWriter]:
    """Open a file in the folder that is not published yet, anew or as it is there.

    Args:
        path: of the unfinished file, as `SplitWriter.place` names it.
        mode: "wb" for a new file; one that is there may be a reader's and is not written into.

    Raises:
        OSError: names the file; of a full disk the system does not.
    """
    try:
        if mode == "wb":
            path.unlink(missing_ok=True)
        with path.open(mode) as file:
            yield file
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def write_unfinished(path: Path, content: bytes) -> None:
    """Write a file as `unfinished_file` opens it; when this returns it is on the disk itself."""
    with unfinished_file(path) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
