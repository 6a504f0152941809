"""NTU RGB+D 60 and 120: raw `.skeleton` files to arrays, `python -m tools.prepare ntu --raw DIR`.

A file is named `SsssCcccPpppRrrrAaaa.skeleton` by setup, camera, performer, replication and action.
It holds lines: the number of frames; for each frame the number of bodies; for each body a header,
the number of joints, and a line a joint that begins with x y z in metres.

Axes: F frames, V=25 joints, C=3 coordinates (metres), S=4 body slots, M=2 bodies.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataset.protocols import DATASETS, DataSet
from dataset.skeleton import MAX_FRAMES, NUM_BODIES, NUM_COORDINATES, NUM_JOINTS
from options.parser import file_path, option
from options.prepare import BuildOptions, choice_option
from tools.prepare.pipeline.recordings import Collection, Recording, files_under, remarks_on
from tools.prepare.pipeline.regular import Bodies, is_finite, read_regular, to_float

SUFFIX = ".skeleton"
NUM_SLOTS = 4
"""Bodies listed first in a frame that are looked at; a fifth is never kept, as published."""

_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})", re.ASCII)
_HEADER_LINES = 3  # prose and a blank line before the names in the official missing lists
_BODY_LINES = 2 + NUM_JOINTS  # a header, the number of joints, the joints
_JOINT_VALUES = 12


@dataclass(frozen=True, kw_only=True)
class Options(BuildOptions):
    """Which recordings to prepare."""

    dataset: str = choice_option(
        "ntu60", ("ntu60", "ntu120"), "which recordings, setups 1 to 17 and actions 1 to 60, or all"
    )
    missing: Path | None = option(
        None,
        read=file_path,
        metavar="FILE",
        help="names of recordings to leave out, one a line",
        shown="the official list of the data set",
    )


class ClipName(NamedTuple):
    """The five numbers in a recording's name, each from 1 on."""

    setup: int
    camera: int
    performer: int
    replication: int
    action: int

    @classmethod
    def parse(cls, name: str) -> "ClipName":
        """Read a name without its ending; a ValueError where it does not follow the pattern."""
        match = _NAME.fullmatch(name)
        if not match or not all(int(number) for number in match.groups()):
            raise ValueError("its name is not SsssCcccPpppRrrrAaaa.skeleton")
        return cls(*map(int, match.groups()))

    @property
    def name(self) -> str:
        """The name without ending."""
        return "S{:03}C{:03}P{:03}R{:03}A{:03}".format(*self)

    def belongs_to(self, dataset: DataSet) -> bool:
        """Whether the recording is one of the data set's."""
        return self.setup in dataset.setups and self.action <= dataset.classes

    def parts(self, dataset: DataSet) -> dict[str, str]:
        """Return "train" or "val" for each protocol of the data set."""
        return {
            protocol: rule.part(getattr(self, rule.by)) for protocol, rule in dataset.rules.items()
        }


def official_missing_list(dataset: str) -> Path:
    """Return where the official list of recordings with missing skeletons lies.

    Source: published with NTU RGB+D 120, 302 names for ntu60 and 535 for ntu120.
    """
    return Path(__file__).parent / "missing" / f"{dataset}.txt"


def read_missing_list(path: Path) -> set[str]:
    """Read a list of recordings: a name a line, below up to three lines of prose."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"--missing {path}: it is not text") from None
    names: set[str] = set()
    for number, line in enumerate(lines, start=1):
        name = line.strip().removesuffix(SUFFIX)
        if _NAME.fullmatch(name):
            names.add(name)
        elif name and (names or number > _HEADER_LINES):
            raise ValueError(f"--missing {path}: line {number} is not a recording's name")
    if lines and not names:
        raise ValueError(f"--missing {path}: it holds no recording's name")
    return names


def collect(options: Options) -> Collection:
    """Find the recordings of a data set that are not on the list of missing ones."""
    raw, dataset = options.raw, DATASETS[options.dataset]
    missing = read_missing_list(options.missing or official_missing_list(dataset.name))
    recordings, bad, strangers, left_out = [], {}, 0, 0
    kinds: dict[tuple[str, ...], dict[str, str]] = {}  # a dict for each of 114,480 would be large
    for name, path in files_under(raw, SUFFIX).items():
        try:
            clip = ClipName.parse(path.stem)
        except ValueError as error:
            bad[path] = str(error)
            continue
        if not clip.belongs_to(dataset):
            strangers += 1
        elif path.stem in missing:
            left_out += 1
        else:
            parts = clip.parts(dataset)
            parts = kinds.setdefault(tuple(parts.values()), parts)
            recordings.append(Recording(name, path, clip.action - 1, parts))
    if not recordings and not bad:
        raise ValueError(f"--raw {raw}: no usable {dataset.name} recording in it")
    remarks = remarks_on(
        (left_out, "recording", "left out: on the list of missing skeletons"),
        (strangers, "recording", f"ignored: not part of {dataset.name}"),
    )
    return Collection(dataset, recordings, read, bad, remarks)


def read(recording: Recording) -> np.ndarray:
    """Read a file and keep its two bodies of largest spread: (3, F, 25, 2) float32 metres."""
    return choose_bodies(parse(recording.path.read_bytes()))


def parse(content: bytes) -> np.ndarray:
    """Read the first four bodies of each frame of a `.skeleton` file.

    Returns:
        (4, F, 25, 3) float64 metres, bodies by their place in the frame; absent ones are zero.

    Raises:
        ValueError: when it is no text, cut short or too long, or holds anything unexpected.
    """
    if not content.isascii():
        raise ValueError("it is not text")
    found = read_regular(content) or _read_any(content.decode("ascii"))
    slots = np.zeros((NUM_SLOTS, found.num_frames, NUM_JOINTS, NUM_COORDINATES))
    kept = found.places < NUM_SLOTS
    slots[found.places[kept], found.frames[kept]] = found.joints[kept]
    return slots


def _read_any(text: str) -> Bodies:
    """Read a file of any layout line by line, naming the line where something is wrong."""
    lines = text.splitlines()
    num_frames = _count(lines, 0, "frames", least=1, most=MAX_FRAMES)
    bodies = _find_bodies(lines, num_frames)
    frames, places, starts = np.array(bodies, int).reshape(-1, 3).T
    return Bodies(num_frames, frames, places, _joints(lines, starts))


def _find_bodies(lines: list[str], num_frames: int) -> list[tuple[int, int, int]]:
    """Walk through the frames; return frame, place and first line of joints of each body."""
    bodies = []
    line = 1
    for frame in range(num_frames):
        num_bodies = _count(lines, line, "bodies")
        line += 1
        for place in range(num_bodies):
            _count(lines, line + 1, "joints", least=NUM_JOINTS, most=NUM_JOINTS)
            if place < NUM_SLOTS:
                bodies.append((frame, place, line + 2))
            line += _BODY_LINES
    if line > len(lines) or len(lines[line - 1].split()) not in (_JOINT_VALUES, 1):
        raise ValueError(f"it is truncated: it ends within the last of {num_frames} frames")
    if any(rest.strip() for rest in lines[line:]):
        raise ValueError(f"it goes on after its {num_frames} frames, at line {line + 1}")
    return bodies


def _count(lines: list[str], line: int, what: str, least: int = 0, most: int = 1000) -> int:
    """Read a line that holds one whole number, `least` to `most`."""
    if line >= len(lines):
        raise ValueError(f"it is truncated: it ends after line {len(lines)}")
    try:
        number = int(lines[line])
    except ValueError:
        raise ValueError(f"line {line + 1} is not a number of {what}") from None
    if not least <= number <= most:
        wanted = f"{least}" if least == most else f"{least} to {most}"
        raise ValueError(f"line {line + 1} counts {number} {what}, not {wanted}")
    return number


def _joints(lines: list[str], starts: np.ndarray) -> np.ndarray:
    """Read x y z of the 25 joints from each starting line on: (bodies, 25, 3)."""
    chosen = (starts[:, None] + np.arange(NUM_JOINTS)).ravel()
    joints = np.array([_joint(lines, line) for line in chosen]).reshape(-1, NUM_COORDINATES)
    finite = is_finite(joints).all(axis=1)
    if not finite.all():
        line = chosen[finite.argmin()]
        raise ValueError(f"line {line + 1} has a coordinate that is not finite")
    return joints.reshape(-1, NUM_JOINTS, NUM_COORDINATES)


def _joint(lines: list[str], line: int) -> list[float]:
    """Read the three numbers that a line begins with."""
    words = lines[line].split(maxsplit=NUM_COORDINATES)[:NUM_COORDINATES]
    try:
        x, y, z = map(to_float, words)
    except ValueError:
        raise ValueError(f"line {line + 1} does not hold a joint's numbers") from None
    return [x, y, z]


def choose_bodies(bodies: np.ndarray) -> np.ndarray:
    """Of (4, F, 25, 3) keep the two of largest spread, the larger first: (3, F, 25, 2) float32."""
    spread = [_spread(body) for body in bodies]
    chosen = np.argsort(spread, kind="stable")[::-1][:NUM_BODIES]  # of equals the later, as ever
    return bodies[chosen].transpose(3, 1, 2, 0).astype(np.float32)


def _spread(body: np.ndarray) -> float:
    """Standard deviations of x, y and z of a body (F, 25, 3) where it is there, added; metres."""
    there = body[body.sum(axis=(1, 2)) != 0]
    return sum(there[:, :, axis].std() for axis in range(NUM_COORDINATES)) if len(there) else 0.0
