"""Invented recordings in NTU's own files: `python -m tools.prepare synthetic --out DIR`.

Writes genuine `SsssCcccPpppRrrrAaaa.skeleton` text files that `tools.prepare ntu` reads like any
other. Every file depends on the seed and its own name only, so the same seed gives the same bytes
whatever the number of processes.

Axes: T frames, V=25 joints, 3 coordinates in metres in the camera's frame.
"""

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from tools.errors import one_line_errors
from tools.prepare.synthetic.actions import ACTIONS
from tools.prepare.synthetic.performance import Performer, draw_performance, draw_performer
from tools.prepare.synthetic.sensor import Recording, draw_camera, record

REPLICATIONS_AND_CAMERAS = ((1, 2), (2, 3), (1, 1), (2, 2), (1, 3), (2, 1))
SETUPS = 4
MOST_PERFORMERS = 40  # of NTU-60; the published splits know no more
DEFAULT_PERFORMERS = 20
DEFAULT_CLIPS = 4

# Focal lengths and centres of the Kinect v2's depth and colour pictures, pixels (libfreenect2).
_DEPTH = (365.5, 254.9, 205.4)
_COLOUR = (1081.4, 959.5, 539.5)
_FIRST_BODY_ID = 72057594037930000  # NTU's tracking ids are of this size
# x y z, depth x y, colour x y, orientation (not simulated), tracking state
_JOINT = "%.6f %.6f %.6f %.1f %.1f %.1f %.1f 0 0 0 0 2\r\n"
_BODY = " 0 1 1 1 1 0 %.4f %.4f 2\r\n25\r\n" + 25 * _JOINT  # behind the tracking id
# Which stream of random numbers a generator draws.
_PERFORMER, _PERFORMANCE, _RECORDING = range(3)


@dataclass(frozen=True, order=True)
class Clip:
    """The five numbers in a file's name."""

    setup: int
    camera: int
    performer: int
    replication: int
    action: int

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return (
            f"S{self.setup:03}C{self.camera:03}P{self.performer:03}"
            f"R{self.replication:03}A{self.action:03}"
        )


def plan(performers: int, clips: int) -> list[Clip]:
    """List the recordings to write, sorted by name.

    Args:
        performers: how many people, 1 to 40.
        clips: recordings of each person doing each action, 1 to 6.

    Raises:
        ValueError: a number is out of its range.
    """
    if not 1 <= performers <= MOST_PERFORMERS:
        raise ValueError(f"--performers {performers}: choose from 1 to {MOST_PERFORMERS}")
    if not 1 <= clips <= len(REPLICATIONS_AND_CAMERAS):
        raise ValueError(f"--clips {clips}: choose from 1 to {len(REPLICATIONS_AND_CAMERAS)}")
    takes = REPLICATIONS_AND_CAMERAS[:clips]
    return sorted(
        Clip(_setup(person), camera, person, replication, action)
        for person, action, (replication, camera) in product(
            range(1, performers + 1), ACTIONS, takes
        )
    )


def _setup(person: int) -> int:
    """Choose a setup; so turned that no name is on NTU's official list of missing skeletons."""
    return 1 + (person + 1) % SETUPS


def _performer(number: int, seed: int) -> Performer:
    return draw_performer(np.random.default_rng([seed, _PERFORMER, number]))


def simulate(clip: Clip, seed: int) -> Recording:
    """Let the performance named by `clip` happen and record it.

    The cameras of one replication watch the same performance, as in NTU.
    """
    people = (_performer(clip.performer, seed), _performer(MOST_PERFORMERS + clip.performer, seed))
    performance = (clip.setup, clip.performer, clip.replication, clip.action)
    bodies = draw_performance(
        clip.action, people, np.random.default_rng([seed, _PERFORMANCE, *performance])
    )
    generator = np.random.default_rng([seed, _RECORDING, *performance, clip.camera])
    camera = draw_camera(clip.setup, clip.camera, clip.replication, generator)
    return record(bodies, camera, generator)


def _columns(body: np.ndarray) -> np.ndarray:
    """Add the pictures' pixels to (T, V, 3) positions: (T, V, 7)."""
    x, y, z = np.moveaxis(body, -1, 0)
    pictures = []
    for focal, centre_x, centre_y in (_DEPTH, _COLOUR):
        pictures += [centre_x + focal * x / z, centre_y - focal * y / z]
    return np.stack([x, y, z, *pictures], axis=-1)


def _bodies(number: int, body: np.ndarray) -> list[str]:
    """Write the T times that one body is listed: header, joint count, joints."""
    lean = (body[:, 20] - body[:, 0])[:, [0, 2]]
    values = np.concatenate([lean, _columns(body).reshape(len(body), -1)], axis=1)
    return [f"{_FIRST_BODY_ID + number}{_BODY % tuple(row)}" for row in values.tolist()]


def text(recording: Recording) -> str:
    """Write a recording as the text of a `.skeleton` file, with CRLF line ends."""
    bodies = [_bodies(number, body) for number, body in enumerate(recording.bodies)]
    frames = len(recording.bodies[0])
    parts = [f"{frames}\r\n"]
    for frame in range(frames):
        listed = [
            body[frame]
            for body, present in zip(bodies, recording.present, strict=True)
            if present[frame]
        ]
        parts.append(f"{len(listed)}\r\n")
        parts += listed
    return "".join(parts)


def _write(clip: Clip, seed: int, folder: Path) -> None:
    path = folder / f"{clip.name}.skeleton"
    unfinished = folder / f".{clip.name}.{os.getpid()}"
    unfinished.write_bytes(text(simulate(clip, seed)).encode("ascii"))
    os.replace(unfinished, path)


def generate(folder: Path, seed: int, performers: int, clips: int, workers: int = 1) -> int:
    """Write the recordings into `folder` and return how many there are.

    Raises:
        ValueError: a number is out of range, or the folder holds recordings of another plan.
    """
    wanted = plan(performers, clips)
    folder.mkdir(parents=True, exist_ok=True)
    strangers = {path.stem for path in folder.glob("*.skeleton")} - {clip.name for clip in wanted}
    if strangers:
        raise ValueError(
            f"{folder} holds {len(strangers)} other recordings, such as {min(strangers)}; "
            "empty it or choose another --out"
        )
    write = partial(_write, seed=seed, folder=folder)
    for _ in _each(write, wanted, workers):
        pass
    return len(wanted)


def _each(write: partial, clips: list[Clip], workers: int) -> Iterator[None]:
    if workers <= 1:
        yield from map(write, clips)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(write, clips, chunksize=16)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.prepare synthetic",
        description="Write invented recordings as genuine NTU .skeleton files.",
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the .skeleton files")
    add("--seed", type=int, default=0, help="same seed, same bytes (default: %(default)s)")
    add(
        "--performers",
        type=int,
        default=DEFAULT_PERFORMERS,
        help=f"people, 1 to {MOST_PERFORMERS} (default: %(default)s)",
    )
    add(
        "--clips",
        type=int,
        default=DEFAULT_CLIPS,
        help="recordings of each person and action, 1 to 6 (default: %(default)s)",
    )
    add("-j", "--workers", type=int, default=os.cpu_count() or 1, help="processes (default: all)")
    return parser


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    options = _parser().parse_args(argv)
    with one_line_errors():
        if options.seed < 0:
            raise ValueError(f"--seed {options.seed}: choose 0 or more")
        count = generate(
            options.out, options.seed, options.performers, options.clips, options.workers
        )
        print(f"{count} recordings of {len(ACTIONS)} actions in {options.out}")


if __name__ == "__main__":
    main()
