"""Invented recordings in NTU's own files: `python -m tools.prepare synthetic --out DIR`.

Writes genuine `SsssCcccPpppRrrrAaaa.skeleton` text files that `tools.prepare ntu` reads like any
other. Every file depends on the seed and its own name only, so the same seed gives the same bytes
whatever the number of processes.
"""

from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from options.groups import RunOptions
from options.parser import REQUIRED, changed, option, whole
from options.prepare import RawOptions, workers_option
from tools.files import remove_abandoned, write_whole
from tools.prepare.formats.ntu import SUFFIX, ClipName
from tools.prepare.pipeline.workers import in_processes
from tools.prepare.synthetic.actions import ACTIONS
from tools.prepare.synthetic.performance import draw_performance, draw_performer
from tools.prepare.synthetic.sensor import Recording, draw_camera, record
from tools.prepare.synthetic.skeleton_file import text

REPLICATIONS_AND_CAMERAS = ((1, 2), (2, 3), (1, 1), (2, 2), (1, 3), (2, 1))
"""In the order of a person's recordings; further ones are replications 3 and 4, and so on."""
MOST_CLIPS = 60
SETUPS = 4
MOST_PERFORMERS = 40  # of NTU-60; the published splits know no more
_PERFORMER, _PERFORMANCE, _RECORDING = range(3)  # keeps their random draws apart


@dataclass(frozen=True, kw_only=True)
class Options:
    """How many recordings to invent, and where to write them."""

    out: Path = changed(RawOptions, "out", default=REQUIRED, help="folder for the files")
    seed: int = changed(RunOptions, "seed", default=0, shown=None, help="same seed, same bytes")
    performers: int = option(
        20, read=whole(1, MOST_PERFORMERS), metavar="N", help=f"people, 1 to {MOST_PERFORMERS}"
    )
    clips: int = option(
        4,
        read=whole(1, MOST_CLIPS),
        metavar="N",
        help=f"recordings of each person and action, 1 to {MOST_CLIPS}",
    )
    workers: int = workers_option()


def prepare(options: Options) -> None:
    """Write the recordings, in a folder without others, and say how many there are."""
    wanted = plan(options.performers, options.clips)
    options.out.mkdir(parents=True, exist_ok=True)
    there = {path.stem for path in options.out.glob(f"*{SUFFIX}")}
    strangers = there - {clip.name for clip in wanted}
    if strangers:
        raise ValueError(
            f"{options.out} holds {len(strangers)} other recordings, such as {min(strangers)}; "
            "empty it or choose another --out"
        )
    write = partial(_write, seed=options.seed, folder=options.out)
    try:
        count = sum(1 for _ in in_processes(write, wanted, options.workers))
    finally:
        remove_abandoned(options.out)  # of workers that were stopped
    print(f"{count} recordings of {len(ACTIONS)} actions in {options.out}")


def plan(performers: int, clips: int) -> list[ClipName]:
    """List the recordings of some people, so many of each doing each action, sorted by name."""
    rounds = product(range(0, clips, 2), REPLICATIONS_AND_CAMERAS)
    takes = [(earlier + number, camera) for earlier, (number, camera) in rounds][:clips]
    return sorted(
        ClipName(_setup(person), camera, person, replication, action)
        for person, action, (replication, camera) in product(
            range(1, performers + 1), ACTIONS, takes
        )
    )


def _setup(person: int) -> int:
    """Choose a setup; so turned that no name is on NTU's official list of missing skeletons."""
    return 1 + (person + 1) % SETUPS


def simulate(clip: ClipName, seed: int) -> Recording:
    """Let the performance named by `clip` happen and record it.

    The cameras of one replication watch the same performance, as in NTU.
    """
    people = tuple(
        draw_performer(np.random.default_rng([seed, _PERFORMER, number]))
        for number in (clip.performer, MOST_PERFORMERS + clip.performer)
    )
    performance = (clip.setup, clip.performer, clip.replication, clip.action)
    generator = np.random.default_rng([seed, _PERFORMANCE, *performance])
    bodies = draw_performance(clip.action, people, generator)
    generator = np.random.default_rng([seed, _RECORDING, *performance, clip.camera])
    camera = draw_camera(clip.setup, clip.camera, clip.replication, generator)
    return record(bodies, camera, generator)


def _write(clip: ClipName, seed: int, folder: Path) -> None:
    content = text(simulate(clip, seed)).encode("ascii")
    write_whole(folder / f"{clip.name}{SUFFIX}", lambda file: file.write(content))
