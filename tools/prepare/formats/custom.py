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

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset.protocols import DESCRIPTION, custom, read_description
from dataset.skeleton import NUM_BODIES, NUM_COORDINATES, NUM_JOINTS
from tools.files import write_whole
from tools.prepare.formats import ntu
from tools.prepare.pipeline.build import build
from tools.prepare.pipeline.command import Parser, guard, settings
from tools.prepare.pipeline.recordings import Collection, Recording, existing_folder

SUFFIXES = (".npy", ".skeleton")

LOSES = (
    "joints that the joint map does not name",
    "of .skeleton files all bodies but the two of largest spread",
)


@dataclass(frozen=True)
class Reader:
    """Reads one's own recordings.

    Attributes:
        joints: for each of the 25 joints, the joint of a .npy file that stands for it; None where
            they are the same.
    """

    joints: tuple[int, ...] | None = None

    def __call__(self, recording: Recording) -> np.ndarray:
        """Read one recording.

        Returns:
            (3, F, 25, 2) float32 metres; absent bodies are zero.

        Raises:
            ValueError: when its file does not hold a skeleton, saying why.
            OSError: when it cannot be read.
        """
        if recording.path.suffix == ntu.SUFFIX:
            return ntu.read(recording)
        return self.parse(_load(recording.path))

    def parse(self, bodies: np.ndarray) -> np.ndarray:
        """Bring (F, V, 3) or (M, F, V, 3) to (3, F, 25, 2) float32.

        Raises:
            ValueError: when it has another shape.
        """
        joints = self.joints or tuple(range(NUM_JOINTS))
        fits = bodies.ndim in (3, 4) and bodies.shape[-1] == NUM_COORDINATES
        enough = fits and (
            bodies.shape[-2] > max(joints) if self.joints else bodies.shape[-2] == NUM_JOINTS
        )
        if not enough:
            wanted = f"more than {max(joints)}" if self.joints else str(NUM_JOINTS)
            raise ValueError(
                f"its shape is {bodies.shape}, not (F, {wanted}, 3) or (bodies, F, {wanted}, 3)"
            )
        if bodies.dtype.kind not in "fiu":
            raise ValueError(f"it holds {bodies.dtype}, not numbers")
        bodies = bodies.reshape(-1, *bodies.shape[-3:])
        if not 1 <= len(bodies) <= NUM_BODIES:
            raise ValueError(f"it has {len(bodies)} bodies, not 1 or 2")
        shape = (NUM_COORDINATES, bodies.shape[1], NUM_JOINTS, NUM_BODIES)
        parsed = np.zeros(shape, np.float32)
        with np.errstate(over="ignore"):  # what float32 cannot hold is named as not finite
            parsed[..., : len(bodies)] = bodies[:, :, list(joints)].transpose(3, 1, 2, 0)
        return parsed


def _load(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"it is not a whole .npy file of numbers ({error})") from None


def collect(raw: Path) -> Collection:
    """Find the recordings that the folder's description speaks of.

    Raises:
        OSError: when the folder or the description cannot be read, or there is no recording.
        ValueError: when the description makes no sense.
    """
    described = read_description(existing_folder(raw) / DESCRIPTION)
    pattern, classes = re.compile(described["pattern"]), described["classes"]
    recordings, bad, seen = [], {}, {}
    for name, path in _files(raw).items():
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
            seen |= {(group, value): True for group, value in match.groupdict().items()}
            full = path.relative_to(raw).as_posix()
            recordings.append(Recording(full, path, classes.index(match["class"]), parts))
    joints = described.get("joints")
    return Collection(
        custom(described),
        recordings,
        Reader(tuple(joints) if joints else None),
        bad,
        remarks=_strangers(described["protocols"], seen),
        loses=LOSES,
        settings=f"custom {joints}",
    )


def _files(raw: Path) -> dict[str, Path]:
    """Return the recordings by their path in the folder without ending, sorted by it."""
    found: dict[str, Path] = {}
    for path in sorted(raw.rglob("*")):
        if path.suffix not in SUFFIXES or path.name.startswith("."):
            continue
        name = path.relative_to(raw).with_suffix("").as_posix()
        if name in found:
            raise ValueError(f"{path} and {found[name]} have one name; remove one of them")
        found[name] = path
    if not found:
        raise FileNotFoundError(f"--raw {raw}: no *{' or *'.join(SUFFIXES)} file in it")
    return found


def _strangers(protocols: Mapping[str, Any], seen: Mapping[tuple[str, str], bool]) -> list[str]:
    """Say which training values occur in no recording: perhaps they are misspelt."""
    return [
        f"{protocol}: no recording has {rule['by']} {value}"
        for protocol, rule in protocols.items()
        for value in rule["train"]
        if (rule["by"], value) not in seen
    ]


def prepare(options: argparse.Namespace) -> None:
    """Write the arrays, and beside them the description by which scripts know the data set.

    Raises:
        OSError, ValueError: as `collect` and `build` do.
    """
    collection = collect(options.raw)
    build(collection, settings(options))
    dataset = collection.dataset
    path = options.out / dataset.name / DESCRIPTION
    description = (options.raw / DESCRIPTION).read_bytes()
    write_whole(path, lambda file: file.write(description))
    print(f"  scripts know it as {dataset.name} with --data-path {options.out}")


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    parser = Parser(
        "custom",
        "Prepare your own recordings, as a dataset.json among them describes.",
        raw="folder of .npy or .skeleton files and the dataset.json",
        loses=LOSES,
    )
    options = parser.parse_args(argv)
    guard(lambda: prepare(options))
