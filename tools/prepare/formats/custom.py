"""One's own recordings to arrays, `python -m tools.prepare custom --raw DIR`.

`SCHEMA`, which ends --help too, says what the folder holds. In it, and in the folders in it, lie
`.npy` arrays, `.bvh` motion capture or NTU's `.skeleton` files, one for each recording.

Axes: F frames, C=3 coordinates (metres), J joints of the files, V=25 joints, M=1 or 2 bodies.
"""

import json
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dataset.arrays import map_array
from dataset.custom import DESCRIPTION, UNITS, custom, read_description, read_unit
from dataset.joint_maps import JOINT_MAPS, JointMap, joint_map, several
from dataset.skeleton import MAX_FRAMES, NUM_COORDINATES
from options.parser import changed
from options.prepare import BuildOptions, raw_option
from options.recordings import ReadingOptions
from tools.prepare.formats import ntu
from tools.prepare.pipeline.bvh import places, read_bvh
from tools.prepare.pipeline.recordings import Collection, Noted, Recording, files_under, two_bodies

SCHEMA = f"""The folder holds dataset.json and a file for each recording, or folders of them: .npy
of (F, J, 3) or (M, F, J, 3), absent bodies and joints zero; .bvh; or NTU's .skeleton.

  {{
    "name": "our_lab",                      what scripts call it: letters, digits and _
    "classes": ["wave", "point"],           names of two or more actions
    "pattern": "(?P<person>[a-z]+)/(?P<class>[a-z]+)_[0-9]+",
                                            a file's path in the folder without its ending; group
                                            class is one of the classes
    "protocols": {{"cross_subject": {{"by": "person", "train": ["anna", "ben"]}}}},
                                            splits by another group: its values that train
    "joints": "kinect25",                   how joints stand for the 25 of the second Kinect:
                                            {" | ".join(list(JOINT_MAPS)[:5])} (.npy),
                                            {" | ".join(list(JOINT_MAPS)[5:])} (.bvh), or a list
                                            of 25 numbers (.npy) or names (.bvh), each perhaps a
                                            list whose mean is taken; "X end": end site below X
    "unit": "cm",                           {" | ".join(UNITS)} | metres; else m (.npy), cm (.bvh)
    "title": "", "source": "", "licence": ""    for people
  }}

joints, unit, title, source and licence may be left out. mediapipe33 are world landmarks."""
"""What a folder of one's own recordings holds."""
BVH = ".bvh"
CUT = "cut"
"""Note of a recording of which 300 frames were kept."""
AWAY = np.array([0.0, 0.0, 3.0])
"""Where poses are moved whose base of spine is at zero, metres: in front of a camera."""
_AT_ZERO = 1e-6  # metres
_BASE_OF_SPINE, _HIPS = 0, (12, 16)


@dataclass(frozen=True, kw_only=True)
class Options(BuildOptions):
    """What the description of the data set does not say."""

    loses: ClassVar = (
        "joints that the joint map does not name",
        "of .skeleton files all bodies but the two of largest spread",
    )
    schema: ClassVar = SCHEMA
    raw: Path = raw_option("folder of .npy, .bvh or .skeleton files and the dataset.json")
    cut: str | None = changed(ReadingOptions, "cut", shown="none; they are bad files")
    unit: str | float | None = changed(
        ReadingOptions,
        "unit",
        read=read_unit,
        shown="as dataset.json says; else m in .npy, cm in .bvh",
    )


@dataclass(frozen=True)
class Reader:
    """Reads one's own recordings.

    Attributes:
        joints: which joints stand for ours.
        unit: metres of a length of 1; None: metres in .npy files, centimetres in .bvh files.
        cut: what is kept of more than 300 frames, "head" or "centre"; None: they are refused.
    """

    joints: JointMap
    unit: float | None = None
    cut: str | None = None

    @classmethod
    def of(cls, described: Mapping[str, Any], cut: str | None = None) -> "Reader":
        """The reader of a described data set."""
        unit = described.get("unit")
        return cls(joint_map(described.get("joints")), UNITS.get(unit, unit), cut)

    def __call__(self, recording: Recording) -> np.ndarray | Noted:
        """Read `.npy`, `.bvh`, or any other file as a `.skeleton`.

        Returns:
            (3, F, 25, 2) float32 metres; absent bodies are zero.
        """
        path = recording.path
        if path.suffix == ".npy":
            return self.parse(map_array(path, "it", ""))
        return self._read_bvh(path) if path.suffix == BVH else ntu.read(recording)

    def parse(self, bodies: np.ndarray) -> np.ndarray | Noted:
        """Bring (F, J, 3) or (M, F, J, 3) to (3, F, 25, 2) float32."""
        if self.joints.named:
            raise ValueError("its joints have no names, but those of the joint map do")
        if bodies.dtype.kind not in "fiu":
            raise ValueError(f"it holds {bodies.dtype}, not numbers")
        shape = bodies.shape
        self._check_shape(shape)
        bodies = self._cut(bodies if bodies.ndim == 4 else bodies[None], axis=1)
        if not bodies[..., 2].any() and bodies.any():
            raise ValueError(f"its third coordinate is zero throughout: {_FLAT}")
        entries = [several(entry) for entry in self.joints.entries]
        return _noted(_finish(bodies, entries, self.unit or UNITS["m"]), shape[-3])

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        count, entries = self.joints.count, self.joints.entries
        least = count or 1 + max(max(several(entry)) for entry in entries)
        usual = len(shape) in (3, 4)
        if usual and shape[-1] == 2:
            raise ValueError(f"its shape is {shape}: {_FLAT}")
        fits = usual and shape[-1] == NUM_COORDINATES
        if not fits or shape[-2] < least or shape[-2] != (count or shape[-2]):
            wanted = str(count) if count else f"{least} or more"
            like = [name for name, one in JOINT_MAPS.items() if usual and one.count == shape[-2]]
            hint = f"; joints {like[0]} have {shape[-2]}" if like else ""
            raise ValueError(
                f"its shape is {shape}, not (F, {wanted}, 3) or (bodies, F, {wanted}, 3){hint}"
            )

    def _read_bvh(self, path: Path) -> np.ndarray | Noted:
        """Read one motion: (3, F, 25, 2) float32, the second body zero."""
        if not self.joints.named:
            raise ValueError(
                "its joints have names; choose joints that do, as those of "
                f"{', '.join(_NAMED)}, or 25 names"
            )
        joints, values = read_bvh(path.read_bytes())
        names = [joint.name for joint in joints]
        entries = [several(entry) for entry in self.joints.entries]
        absent = sorted({one for entry in entries for one in entry if one not in names})
        if absent:
            raise ValueError(f"it has no joint {', '.join(absent)}; it has {', '.join(names)}")
        found = places(joints, self._cut(values, axis=0))
        numbers = [[names.index(one) for one in entry] for entry in entries]
        return _noted(_finish(found[None], numbers, self.unit or UNITS["cm"]), len(values))

    def _cut(self, frames: np.ndarray, axis: int) -> np.ndarray:
        """Keep 300 of the frames along an axis, where they are more."""
        more = frames.shape[axis] - MAX_FRAMES
        if more <= 0:
            return frames
        if self.cut is None:
            raise ValueError(
                f"it has {frames.shape[axis]} frames, not 1 to {MAX_FRAMES}; cut it, or let "
                "--cut head or --cut centre do so"
            )
        begin = more // 2 if self.cut == "centre" else 0
        return frames.take(range(begin, begin + MAX_FRAMES), axis)


_NAMED = [name for name, one in JOINT_MAPS.items() if one.named]
_FLAT = "poses in two dimensions cannot be prepared; lift them to three first"


def _noted(parsed: np.ndarray, frames: int) -> np.ndarray | Noted:
    """Note a recording that had more than 300 frames."""
    return Noted(parsed, CUT) if frames > MAX_FRAMES else parsed


def _finish(bodies: np.ndarray, entries: list[tuple[int, ...]], unit: float) -> np.ndarray:
    """Bring (M, F, J, 3) of some unit to (3, F, 25, 2) float32 metres.

    Args:
        bodies: coordinates; absent bodies, frames and joints are zero.
        entries: for each of our joints, those whose mean stands for it, as far as they are there.
        unit: metres of a length of 1.
    """
    ours = np.stack([_mean(bodies[:, :, list(entry)]) for entry in entries], axis=2)
    return two_bodies(_off_zero(ours * unit) if unit != 1 else _off_zero(ours))


def _mean(joints: np.ndarray) -> np.ndarray:
    """Mean over the joints (M, F, K, 3) that are there: (M, F, 3)."""
    if joints.shape[2] == 1:
        return joints[:, :, 0]
    there = joints.any(axis=-1).sum(axis=-1)  # (M, F)
    return joints.sum(axis=2, dtype=np.float64) / np.maximum(there, 1)[..., None]


def _off_zero(bodies: np.ndarray) -> np.ndarray:
    """Move poses (M, F, 25, 3) away that are centred on the base of the spine.

    Zero stands for a joint that is absent, so the base of the spine would stay where it is when the
    clip is centred. Where the whole clip lies does not matter otherwise.
    """
    there = bodies.any(axis=(2, 3))  # (M, F)
    known = bodies[there]  # (frames with a body, 25, 3)
    base = known[:, _BASE_OF_SPINE]
    if not len(known) or (np.abs(base) > _AT_ZERO).any() or not known[:, _HIPS].any():
        return bodies
    present = bodies.any(axis=-1)
    present[..., _BASE_OF_SPINE] = there
    return bodies + AWAY * present[..., None]


def collect(options: Options) -> Collection:
    """Find the recordings that the description of the folder speaks of."""
    path = options.raw / DESCRIPTION
    described, content = read_description(path), path.read_bytes()
    if options.unit is not None:
        described["unit"] = options.unit
        content = json.dumps(described, indent=2, ensure_ascii=False).encode()
    pattern, classes = re.compile(described["pattern"]), described["classes"]
    recordings, bad, seen = [], {}, set()
    for name, path in files_under(options.raw, ".npy", BVH, ntu.SUFFIX, by_path=True).items():
        match = pattern.fullmatch(name)
        if match is None:
            bad[path] = f"its name does not fit the pattern {described['pattern']}"
        elif match["class"] not in classes:
            bad[path] = f"its class {match['class']} is not one of {', '.join(classes)}"
        else:
            parts = {
                protocol: "train" if match[rule["by"]] in rule["train"] else "val"
                for protocol, rule in described["protocols"].items()
            }
            seen |= set(match.groupdict().items())
            full = path.relative_to(options.raw).as_posix()
            recordings.append(Recording(full, path, classes.index(match["class"]), parts))
    kept = "first" if options.cut == "head" else "middle"
    reader = Reader.of(described, options.cut)
    return Collection(
        custom(described),
        recordings,
        reader,
        bad,
        remarks=_strangers(described["protocols"], seen),
        settings=f"custom {reader}",
        notes={CUT: f"of more than {MAX_FRAMES} frames cut to its {kept} {MAX_FRAMES}"},
        description=content,
    )


def _strangers(protocols: Mapping[str, Any], seen: Set[tuple[str, str]]) -> list[str]:
    """Say which training values occur in no recording: perhaps they are misspelt."""
    return [
        f"{protocol}: no recording has {rule['by']} {value}"
        for protocol, rule in protocols.items()
        for value in rule["train"]
        if (rule["by"], value) not in seen
    ]
