"""One's own recordings to arrays, `python -m tools.prepare custom --raw DIR`.

The folder holds `dataset.json` and a file for each recording, in it or in its folders: `.npy` of
(F, V, 3) or (M, F, V, 3) metres, absent bodies and joints zero, or NTU's `.skeleton`.

    {
      "name": "our_lab",
      "classes": ["wave", "point"],
      "pattern": "(?P<person>[a-z]+)/(?P<class>[a-z]+)_[0-9]+",
      "protocols": {"cross_subject": {"by": "person", "train": ["anna", "ben"]}},
      "joints": [0, 1, 2, "... 25 numbers: which joint of the .npy stands for each of ours"]
    }

The pattern is what a recording's path in the folder looks like, without its ending; its group
`class` is one of the classes, and protocols go by its other groups. `joints` may be left out where
the joints are the second Kinect's 25; `title`, `source` and `licence` may be added.

Axes: F frames, C=3 coordinates (metres), V=25 joints, M=1 or 2 bodies.
"""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dataset.arrays import map_array
from dataset.custom import DESCRIPTION, custom, read_description
from dataset.skeleton import NUM_COORDINATES, NUM_JOINTS
from options.prepare import BuildOptions, raw_option
from tools.files import write_whole
from tools.prepare.formats import ntu
from tools.prepare.pipeline.build import build
from tools.prepare.pipeline.recordings import Collection, Recording, files_under, two_bodies


@dataclass(frozen=True, kw_only=True)
class Options(BuildOptions):
    """Nothing beside what all formats have."""

    loses: ClassVar = (
        "joints that the joint map does not name",
        "of .skeleton files all bodies but the two of largest spread",
    )
    raw: Path = raw_option("folder of .npy or .skeleton files and the dataset.json")


def prepare(options: Options) -> None:
    """Write the arrays, and beside them the description by which scripts know the data set."""
    collection = collect(options.raw)
    build(collection, options)
    name, description = collection.dataset.name, (options.raw / DESCRIPTION).read_bytes()
    write_whole(options.out / name / DESCRIPTION, lambda file: file.write(description))
    print(f"  scripts know it as {name} with --data-path {options.out}")


@dataclass(frozen=True)
class Reader:
    """Reads one's own recordings."""

    joints: list[int] | None  # for each of the 25, the joint of a .npy file; None: they are ours

    def __call__(self, recording: Recording) -> np.ndarray:
        """Read one recording: (3, F, 25, 2) float32 metres; absent bodies are zero."""
        if recording.path.suffix == ntu.SUFFIX:
            return ntu.read(recording)
        return self.parse(map_array(recording.path, "it", ""))

    def parse(self, bodies: np.ndarray) -> np.ndarray:
        """Bring (F, V, 3) or (M, F, V, 3) to (3, F, 25, 2) float32."""
        joints = self.joints or list(range(NUM_JOINTS))
        fits = (
            bodies.ndim in (3, 4)
            and bodies.shape[-1] == NUM_COORDINATES
            and (bodies.shape[-2] > max(joints) if self.joints else bodies.shape[-2] == NUM_JOINTS)
        )
        if not fits:
            wanted = f"more than {max(joints)}" if self.joints else str(NUM_JOINTS)
            raise ValueError(
                f"its shape is {bodies.shape}, not (F, {wanted}, 3) or (bodies, F, {wanted}, 3)"
            )
        if bodies.dtype.kind not in "fiu":
            raise ValueError(f"it holds {bodies.dtype}, not numbers")
        return two_bodies(bodies.reshape(-1, *bodies.shape[-3:])[:, :, joints])


def collect(raw: Path) -> Collection:
    """Find the recordings that the folder's description speaks of."""
    described = read_description(raw / DESCRIPTION)
    pattern, classes = re.compile(described["pattern"]), described["classes"]
    recordings, bad, seen = [], {}, set()
    for name, path in files_under(raw, ".npy", ntu.SUFFIX, by_path=True).items():
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
            full = path.relative_to(raw).as_posix()
            recordings.append(Recording(full, path, classes.index(match["class"]), parts))
    joints = described.get("joints")
    return Collection(
        custom(described),
        recordings,
        Reader(joints),
        bad,
        remarks=_strangers(described["protocols"], seen),
        settings=f"custom {joints}",
    )


def _strangers(protocols: Mapping[str, Any], seen: Set[tuple[str, str]]) -> list[str]:
    """Say which training values occur in no recording: perhaps they are misspelt."""
    return [
        f"{protocol}: no recording has {rule['by']} {value}"
        for protocol, rule in protocols.items()
        for value in rule["train"]
        if (rule["by"], value) not in seen
    ]
