"""Kill preparations at random lines of our code, run them again, and compare bytes.

    python -m tests.prepare.kills --count 140 --seed 0

Two sources take turns in one folder. At every kill the folder of each protocol must hold all of one
or all of the other, and the run after it must leave exactly what a run that was never stopped
leaves. Meanwhile another process reads the folder without pause and must never see a mixture.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.io import savemat

from dataset.arrays import load_split
from dataset.custom import DESCRIPTION
from dataset.protocols import PARTS
from tests.oracles.prepare import normalise_plain
from tests.prepare.test_bvh import body, bvh_text, motion
from tests.support.other_formats import (
    draw_recordings,
    frame50_clip,
    label_of,
    npz_content,
    pyskl_content,
    split_of,
    video_text,
    write_ntu,
    write_pickle,
    write_split,
)
from tools.prepare.__main__ import main as prepare

OURS = (
    "dataset/",
    "tools/prepare/pipeline/",
    *(f"tools/prepare/formats/{n}" for n in ("frame50", "custom")),
)
"""Of these files each line is a moment to be killed at."""
_LAST = 100
"""Lines at the end of a run in which folders are put in place."""


def write_frame50(raw: Path, seed: int) -> None:
    raw.mkdir(parents=True)
    parsed = draw_recordings(seed)
    for part in PARTS:
        names = [name for name in parsed if split_of(name, "cross_view") == part]
        np.save(
            raw / f"{part}_position.npy", np.stack([frame50_clip(parsed[name]) for name in names])
        )
        np.save(raw / f"{part}_label.npy", np.array([[label_of(name)] for name in names]))


def write_pku(raw: Path, seed: int) -> None:
    for folder in ("skeleton", "label"):
        (raw / folder).mkdir(parents=True)
    for number, video in enumerate(("0002-L", "0003-M")):
        text, places = video_text(dict(list(draw_recordings(seed + number).items())[:3]))
        (raw / "skeleton" / f"{video}.txt").write_text(text)
        lines = [f"{11 + row},{first},{last},1\n" for row, (first, last) in enumerate(places)]
        (raw / "label" / f"{video}.txt").write_text("".join(lines))
    (raw / "cross-subject.txt").write_text("Training\n0002-L,\nTest\n0003-M\n")


def write_utd(raw: Path, seed: int) -> None:
    raw.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    for subject in range(1, 9):
        content = {"d_skel": generator.normal((0, 0, 3), 0.4, size=(30, 20, 3)).transpose(1, 2, 0)}
        savemat(raw / f"a{subject}_s{subject}_t1_skeleton.mat", content)


def write_custom(raw: Path, seed: int) -> None:
    raw.mkdir(parents=True)
    for name, clip in draw_recordings(seed).items():
        np.save(raw / f"{name[5:8]}-{name[8:12]}-{name[16:]}.npy", clip.transpose(3, 1, 2, 0))
    described = {
        "name": "our_lab",
        "classes": ["A007", "A055"],
        "pattern": r"(?P<camera>\w+)-(?P<person>\w+)-(?P<class>\w+)",
        "protocols": {
            "by_camera": {"by": "camera", "train": ["001"]},
            "by_person": {"by": "person", "train": ["P001"]},
        },
        "title": f"take {seed}",
    }
    (raw / "dataset.json").write_text(json.dumps(described))


def write_agcn(raw: Path, seed: int) -> None:
    recordings = list(draw_recordings(seed).items())[1::4]
    write_split(raw, "data_joint", {name: normalise_plain(clip) for name, clip in recordings})


def write_ucla(raw: Path, seed: int) -> None:
    raw.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    for view in (1, 2, 3):
        path = raw / f"a0{view}_s01_e02_v0{view}.json"
        skeletons = generator.normal((0, 0, 3), 0.4, size=(9 + view, 20, 3)).tolist()
        path.write_text(json.dumps({"label": view, "skeletons": skeletons}))


def write_bvh(raw: Path, seed: int) -> None:
    raw.mkdir(parents=True)
    described = {
        "name": "our_mocap",
        "classes": ["walk", "run"],
        "pattern": "(?P<person>[a-z]+)_(?P<class>[a-z]+)",
        "protocols": {"by_person": {"by": "person", "train": ["anna"]}},
        "joints": "cmu",
        "title": f"take {seed}",
    }
    root = body("cmu")
    for number, name in enumerate(("anna_walk", "anna_run", "ben_walk")):
        rows = motion(root, 5 + number, seed + number)
        (raw / f"{name}.bvh").write_text(bvh_text(root, rows))
    (raw / "dataset.json").write_text(json.dumps(described))


CROSS_VIEW = ["--protocol", "cross_view", "-j", "1"]
FORMATS: dict[str, tuple[Callable[[Path, int], object], list[str]]] = {
    "frame50": (write_frame50, ["--dataset", "ntu60_frame50", "--protocol", "cross_view"]),
    "ntu": (lambda raw, seed: write_ntu(raw, draw_recordings(seed)), ["-j", "1"]),
    "pyskl": (
        lambda raw, seed: write_pickle(raw, pyskl_content(draw_recordings(seed))),
        ["-j", "1"],
    ),
    "npz": (
        lambda raw, seed: np.savez(
            raw.open("wb"), **npz_content(draw_recordings(seed), "cross_view")
        ),
        CROSS_VIEW,
    ),
    "pku-mmd": (write_pku, ["-j", "1"]),
    "utd-mhad": (write_utd, ["-j", "1"]),
    "custom": (write_custom, ["-j", "1"]),
    "agcn": (write_agcn, CROSS_VIEW),
    "stgcn": (lambda raw, seed: write_split(raw, "data", draw_recordings(seed)), CROSS_VIEW),
    "ucla": (write_ucla, ["-j", "1"]),
    "bvh": (write_bvh, ["-j", "1"]),
}
"""How a source of each format is written, and the options that read it."""


def in_child(work: Callable[[], None]) -> int:
    """Do some work in a process of its own, silently; return what `os.waitpid` says of it."""
    process = os.fork()
    if process == 0:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(process, 0)[1]


class Moments:
    """Counts the lines of ours that are run, and kills the process at one of them."""

    def __init__(self, deadly: int = 0) -> None:
        self.count, self.deadly, self.publishing = 0, deadly, 0

    def __call__(self, frame, event, _):
        name = frame.f_code.co_filename
        return self._line if any(f"/{ours}" in name for ours in OURS) else None

    def _line(self, frame, event, _):
        if event == "line":
            self.count += 1
            if frame.f_code.co_name == "publish_whole" and not self.publishing:
                self.publishing = self.count
            if self.count == self.deadly:
                os.kill(os.getpid(), signal.SIGKILL)
        return self._line


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def content(folder: Path) -> int:
    """Stand for all that whoever loads both parts of a folder gets."""
    checksum = 0
    for arrays in load_split(folder):
        rest = (arrays.names, arrays.labels.tolist(), arrays.num_frames.tolist(), arrays.prepared)
        checksum = zlib.crc32(
            np.ascontiguousarray(arrays.data), zlib.crc32(repr(rest).encode(), checksum)
        )
    return checksum


class Case:
    """One format with two sources that take turns in one folder."""

    def __init__(self, name: str, folder: Path) -> None:
        write, self.options = FORMATS[name]
        self.name, self.out, self.turn = name, folder / "data", 0
        self.sources = [folder / "one", folder / "two"]
        self.whole, self.known = list[dict[str, bytes]](), list[dict[Path, int]]()
        for seed, source in enumerate(self.sources):
            write(source, 10 * seed)
            fresh = folder / f"fresh{seed}"
            assert in_child(lambda out=fresh, source=source: self.prepare(source, out)) == 0
            self.whole.append(files(fresh))
            sets = [path.parent for path in fresh.rglob("prepared.json")]
            self.known.append({path.relative_to(fresh): content(path) for path in sets})
        self.moments = self._count_moments(folder / "counted")
        assert in_child(lambda: self.prepare(self.sources[0], self.out)) == 0

    def prepare(self, source: Path, out: Path) -> None:
        format = "custom" if self.name == "bvh" else self.name
        prepare([format, "--raw", str(source), "--out", str(out), "--overwrite", *self.options])

    def _count_moments(self, out: Path) -> tuple[int, int]:
        """Count the lines of a whole run over older arrays, and those before publication."""
        reader, writer = os.pipe()

        def work() -> None:
            moments = Moments()
            self.prepare(self.sources[0], out)
            sys.settrace(moments)
            self.prepare(self.sources[1], out)
            sys.settrace(None)
            os.write(writer, f"{moments.publishing} {moments.count}".encode())

        assert in_child(work) == 0
        before, count = map(int, os.read(reader, 99).split())
        return before, count

    def kill(self, generator: random.Random) -> list[str]:
        """Kill a run: anywhere, while it publishes or in its last lines; and run it again."""
        before, count = self.moments
        first = generator.choice((1, before, count - _LAST))
        deadly, self.turn = generator.randint(first, count), 1 - self.turn
        source = self.sources[self.turn]

        def work() -> None:
            sys.settrace(Moments(deadly))
            self.prepare(source, self.out)

        died = in_child(work) == signal.SIGKILL
        faults = [] if died else [f"was not killed at line {deadly} of {count}"]
        faults += [f"mixed after a kill: {path}" for path in self._strange()]
        if in_child(lambda: self.prepare(source, self.out)):
            faults.append("the run after it failed")
        if files(self.out) != self.whole[self.turn]:
            faults.append("other bytes than without a kill")
        return [f"{self.name}, line {deadly} of {count}: {fault}" for fault in faults]

    def _strange(self) -> list[Path]:
        """Return the protocols' folders that hold neither source's arrays.

        One's own data set is whole with its description and the arrays of all protocols.
        """
        strange = [path for path in self.known[0] if not self.is_whole(path)]
        for path in self.out.glob(f"*/{DESCRIPTION}"):
            now = path.read_bytes(), {one: content(self.out / one) for one in self.known[0]}
            name = path.relative_to(self.out).as_posix()
            wholes = zip((whole[name] for whole in self.whole), self.known, strict=True)
            strange += [] if now in wholes else [path]
        return strange

    def is_whole(self, path: Path) -> bool:
        return content(self.out / path) in (known[path] for known in self.known)


def read_until_told(case: Case, told: int) -> None:
    """Read without pause until a pipe is closed; die of a mixture or of arrays that are gone."""
    os.set_blocking(told, False)
    while True:
        for path in case.known[0]:
            if not case.is_whole(path):
                os._exit(2)
        try:
            if os.read(told, 1) == b"":
                os._exit(0)
        except BlockingIOError:
            continue


def run(count: int, seed: int, names: list[str]) -> list[str]:
    """Kill so many times, in turns of the formats; return what went wrong."""
    faults = []
    for place, name in enumerate(names):
        with tempfile.TemporaryDirectory() as folder:
            case = Case(name, Path(folder))
            told, tell = os.pipe()
            reader = os.fork()
            if reader == 0:
                os.close(tell)
                try:
                    read_until_told(case, told)
                finally:
                    os._exit(1)
            generator = random.Random(f"{seed} {name}")
            for _ in range(count // len(names) + (place < count % len(names))):
                faults += case.kill(generator)
            os.close(tell)
            status = os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1])
            if status:
                faults.append(
                    f"{name}: the reader ended with {status}: it saw a mixture or nothing"
                )
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    options = parser.parse_args()
    faults = run(options.count, options.seed, options.formats)
    print(f"{options.count} kills of {', '.join(options.formats)}: {len(faults)} faults")
    print("\n".join(faults))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
