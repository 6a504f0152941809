"""Kill what writes at random moments, go on, and compare with what was never killed.

`python -m tests.kills --count N --seed S` does it N times and ends with status 1 when anything was
lost, mixed or left behind. A few stand in the test suite.

A trial forks this process, which has imported everything, so that it takes no seconds to start. The
child kills itself with SIGKILL before its n-th look at a file below the folder (opening, renaming,
removing, writing down), or the parent kills it after a while; then the same command is given again
until it ends by itself.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
import torch._dynamo  # and other modules that commands import late: a fork has them already
import torch.utils.tensorboard

import action_classification
import action_retrieval
import pretraining
from dataset.arrays import PARTIAL, load_arrays
from tests.prepare.kills import write_custom, write_frame50
from tests.support.tiny import write_checkpoint, write_dataset
from tools import features
from tools.evaluation import classification, recording, retrieval  # noqa: F401
from tools.files import TEMPORARY
from tools.prepare import __main__ as prepare
from tools.prepare.formats.synthetic import plan, simulate
from tools.prepare.synthetic.actions import ACTIONS
from tools.prepare.synthetic.skeleton_file import text
from tools.report import __main__ as report
from tools.reproduce import __main__ as reproduce
from tools.reproduce import child
from tools.training import trainer  # noqa: F401
from tools.training.record import CONFIG

EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate"}
MOST_TRIES = 50
PRETRAINING = (
    *("--hidden-size", "8", "--hico-dim", "4", "--hico-k", "16", "--batch-size", "4"),
    *("--print-freq", "1", "--device", "cpu", "--lr", "0.05", "--epochs", "5", "--seed", "3"),
    *("--save-freq", "2", "--encoder", "GRU", "--resume", "auto"),
)
REPRODUCTION = (
    *("--pretraining", "--hidden-size 8 --hico-dim 4 --hico-k 16 --batch-size 4 --epochs 2"),
    *("--linear", "--epochs 2 --batch-size 8 --lr 0.5"),
)
CLASSIFICATION = (
    *("--epochs", "6", "--batch-size", "10", "--schedule", "4", "--lr", "0.5", "--seed", "3"),
    *("--device", "cpu"),
)


def pretrain(inputs: Path, folder: Path) -> None:
    """Pre-train, or go on; the same command each time."""
    pretraining.main(["--data-path", str(inputs), "--checkpoint-path", str(folder), *PRETRAINING])


def classify(inputs: Path, folder: Path) -> None:
    """Train a classifier, from its last file where there is one."""
    from tools.evaluation import classifier

    classifier.SECONDS_BETWEEN_SAVES = 0.0
    last = folder / "joint_model_last.pth.tar"
    more = ["--resume", str(last)] if last.is_file() else []
    where = ["--data-path", str(inputs), "--output-path", str(folder)]
    checkpoint = str(inputs / "checkpoint_0450.pth.tar")
    action_classification.main([*where, "--pretrained", checkpoint, *CLASSIFICATION, *more])


def make_arrays(inputs: Path, folder: Path) -> None:
    """Prepare raw recordings."""
    where = ["--raw", str(inputs / "raw"), "--out", str(folder), "-j", "1"]
    prepare.main(["ntu", "--dataset", "ntu60", *where])


def make_arrays_together(inputs: Path, folder: Path) -> None:
    """Prepare raw recordings in two processes."""
    where = ["--raw", str(inputs / "raw"), "--out", str(folder), "-j", "2"]
    prepare.main(["ntu", "--dataset", "ntu60", *where])


def make_frame50(inputs: Path, folder: Path) -> None:
    """Take over clips of 50 frames."""
    where = ["--raw", str(inputs / "frame50"), "--out", str(folder), "--overwrite"]
    prepare.main(["frame50", "--dataset", "ntu60_frame50", "--protocol", "cross_view", *where])


def make_own(inputs: Path, folder: Path) -> None:
    """Prepare one's own recordings."""
    where = ["--raw", str(inputs / "own"), "--out", str(folder), "-j", "1", "--overwrite"]
    prepare.main(["custom", *where])


def invent(inputs: Path, folder: Path) -> None:
    """Write invented recordings."""
    few = ("--performers", "2", "--clips", "1", "-j", "1")
    prepare.main(["synthetic", "--out", str(folder), "--seed", "3", *few])


def retrieve(inputs: Path, folder: Path) -> None:
    """Score an encoder by its neighbours."""
    where = ["--data-path", str(inputs), "--output-path", str(folder), "--device", "cpu"]
    checkpoint = str(inputs / "checkpoint_0450.pth.tar")
    action_retrieval.main([*where, "--pretrained", checkpoint, "--seed", "3"])


def compute_features(inputs: Path, folder: Path) -> None:
    """Write the features of all clips."""
    where = ["--data-path", str(inputs), "--output", str(folder / "features.npz")]
    checkpoint = str(inputs / "checkpoint_0450.pth.tar")
    features.main([*where, "--pretrained", checkpoint, "--device", "cpu"])


def report_on(inputs: Path, folder: Path) -> None:
    """Show a checkpoint as a page."""
    where = ["--data-path", str(inputs), "--output", str(folder / "report.html")]
    where += ["--dataset", "ntu60", "--protocol", "cross_view", "--stream", "joint"]
    report.main([str(inputs / "checkpoint_0450.pth.tar"), *where, "--device", "cpu"])


def reproduce_some(inputs: Path, folder: Path) -> None:
    """Pre-train, probe and look up by one command, which begins scripts as this begins it."""
    where = ["--data-path", str(inputs), "--out", str(folder), "--device", "cpu"]
    chosen = ["--datasets", "ntu60", "--protocols", "cross_view", "--encoders", "GRU"]
    chosen += ["--streams", "joint", "--modes", "linear", "knn"]
    child.Children.run = _run_script
    reproduce.main([*where, *chosen, *REPRODUCTION])


def _run_script(
    children: child.Children, words: list[str], log: Path, environment: dict
) -> child.Ended:
    """Run a script as tools.reproduce does, without importing everything again."""
    script = {"pretraining.py": pretraining, "action_classification.py": action_classification}
    main = script.get(Path(words[1]).name, action_retrieval).main
    forked = os.fork()
    if not forked:
        _be_child(lambda: main(words[2:]), log, log.parent, event=None)
    _, status, used = os.wait4(forked, 0)
    return child.Ended(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime)


def trained(folder: Path) -> dict:
    """All that a pre-training leaves that the time of day does not change."""
    files = sorted(path.name for path in folder.glob("*.tar"))
    found = {"files": files, "rows": []}
    for name in files:
        found |= _values(torch.load(folder / name), name)
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        found["rows"].append({n: value for n, value in row.items() if n != "clips_per_second"})
    found["points"] = _points(folder)
    record = json.loads((folder / CONFIG).read_text())
    assert record["seed"] == 3, "config.json is of another run"
    return found


def _values(value: object, name: str) -> dict:
    """Tensors as bytes and plain values, by dotted names; not what tells when a run went on."""
    if name == f"{name.partition('.pth.tar')[0]}.pth.tar.run":
        return {}
    if torch.is_tensor(value):
        return {name: value.numpy().tobytes()}
    if isinstance(value, dict):
        return {n: v for key, x in value.items() for n, v in _values(x, f"{name}.{key}").items()}
    return {name: value}


def _points(folder: Path) -> list[int]:
    """The steps that TensorBoard shows of the loss."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [event.step for event in events.Scalars("loss/total")]


def classified(folder: Path) -> dict:
    """What a classification found."""
    found = json.loads((folder / "results.json").read_text())
    del found["settings"]["training"]["resume"], found["settings"]["output_path"]
    for run in found["runs"]:
        del run["seconds"], run["classifiers"]
    with np.load(folder / "joint_scores.npz") as scores:
        found["scores"] = {name: scores[name].tobytes() for name in scores.files}
    return found


def prepared(folder: Path) -> dict:
    """The arrays of all splits that are in place."""
    found = {}
    for path in _in_place(folder, "train_data_joint.npy"):
        for part in ("train", "val"):
            arrays = load_arrays(path.parent, part)
            where = f"{path.parent.name} {part}"
            found[where] = (arrays.data.tobytes(), arrays.names, arrays.labels.tobytes())
    assert found, "no arrays"
    return found


def _in_place(folder: Path, pattern: str) -> list[Path]:
    """Files below a folder that do not wait for a restart."""
    files = [path for path in folder.rglob(pattern) if path.is_file()]
    return sorted(path for path in files if PARTIAL not in str(path.relative_to(folder)))


def written(folder: Path) -> dict:
    """The bytes of files in place; of an .npz file those of its arrays, without its own path."""
    found = {}
    for path in _in_place(folder, "*"):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                found[name] = {n: arrays[n].tobytes() for n in arrays.files if n != "about"}
        elif path.name != ".lock":
            found[name] = path.read_bytes()
    return found


def retrieved(folder: Path) -> dict:
    """What a retrieval found."""
    found = json.loads((folder / "results.json").read_text())
    del found["settings"]["output_path"]
    return found


def reproduced(folder: Path) -> dict:
    """The rows of the table, and that every cell has its record."""
    table = json.loads((folder / "table.json").read_text())
    records = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.json"))
    whole = [json.loads((folder / name).read_text()) for name in records]
    cells = [record["cell"] for record in whole if "seconds" in record and "cell" in record]
    return {"rows": table["rows"], "failed": table["failed"], "records": records, "cells": cells}


WORKS: dict[str, tuple[Callable, Callable]] = {
    "pretraining": (pretrain, trained),
    "classification": (classify, classified),
    "retrieval": (retrieve, retrieved),
    "features": (compute_features, written),
    "report": (report_on, written),
    "reproduce": (reproduce_some, reproduced),
    "prepare": (make_arrays, prepared),
    "prepare-2": (make_arrays_together, prepared),
    "frame50": (make_frame50, written),
    "custom": (make_own, written),
    "synthetic": (invent, written),
}
"""What is killed: the command, and what it leaves."""


def write_inputs(folder: Path, actions: int = 4) -> None:
    """Write what the commands read; invented recordings of so many actions of the sixteen."""
    write_dataset(folder, train=14, val=6)
    write_checkpoint(folder / "checkpoint_0450.pth.tar")
    write_raw(folder / "raw", actions)
    write_frame50(folder / "frame50", seed=0)
    write_custom(folder / "own", seed=0)


def write_raw(folder: Path, actions: int, seed: int = 0) -> None:
    """Write invented recordings, of all parts of both protocols."""
    folder.mkdir(parents=True)
    for clip in plan(performers=4, clips=3):
        if clip.action in list(ACTIONS)[:actions]:
            content = text(simulate(clip, seed))
            (folder / f"{clip.name}.skeleton").write_text(content)


def run(work: Callable, inputs: Path, folder: Path, log: Path | None = None, **kill: float) -> int:
    """Run a command in a child process that is killed at a moment; its exit status.

    Returns when the scripts that it began have ended, too.

    Args:
        work: the command.
        inputs: from `write_inputs`.
        folder: where it writes.
        log: where its lines go; beside the folder where nothing is said.
        kill: `event`, the number of the look at a file before which it kills itself, or `after`,
            the seconds that it has; nothing lets it end.
    """
    ended, alive = os.pipe()
    child = os.fork()
    if not child:
        event = int(kill["event"]) if "event" in kill else None
        _be_child(lambda: work(inputs, folder), log or Path(f"{folder}.log"), folder, event)
    os.close(alive)
    timer = threading.Timer(kill.get("after", 600), os.kill, (child, signal.SIGKILL))
    timer.start()
    _, status = os.waitpid(child, 0)
    timer.cancel()
    timer.join()
    os.read(ended, 1)  # nothing, once the last process that holds the other end is gone
    os.close(ended)
    return os.waitstatus_to_exitcode(status)


def _be_child(work: Callable[[], None], log: Path, folder: Path, event: int | None) -> None:
    status = 1
    try:
        lines = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(lines, 1)
        os.dup2(lines, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w") for number in (1, 2))
        # Spawned workers import the main module, which here is heavy and none of theirs.
        sys.modules["__main__"] = ModuleType("__main__")
        if event is not None:
            _kill_before(event, str(folder))
        work()
        status = 0
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(status)


def _kill_before(event: int, folder: str) -> None:
    """Kill this process before its n-th look at a file, or when its content goes to the disk."""
    left, sync = [event], os.fsync

    def _count(*_: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def _heard(name: str, given: tuple) -> None:
        if name in EVENTS and given and str(given[0]).startswith(folder):
            _count()

    def _synced(descriptor: int) -> None:
        _count()
        sync(descriptor)

    os.fsync = _synced
    sys.addaudithook(_heard)


def trial(name: str, inputs: Path, folder: Path, draw: random.Random, whole: dict) -> int:
    """Kill a command again and again until it ends, and compare; the number of kills.

    Raises:
        AssertionError: something was lost, mixed or left behind.
    """
    work, look = WORKS[name]
    kills, log = 0, Path(f"{folder}.log")
    for attempt in range(MOST_TRIES):
        moment = {} if attempt >= 3 else _moment(draw)
        status = run(work, inputs, folder, **moment)
        if not (status == -signal.SIGKILL or (name == "reproduce" and status == 1)):
            break
        kills += 1
    said = log.read_text() if log.is_file() else ""
    assert status == 0, f"{name}, {folder}: exit status {status}: {said[-1000:]}"
    found = look(folder)
    keys = sorted(whole.keys() | found.keys())
    different = [key for key in keys if whole.get(key) != found.get(key)]
    assert not different, f"{name}, {folder}: {len(different)} differ, as {different[-3:]}"
    left = [path for path in folder.rglob("*") if TEMPORARY.fullmatch(path.name)]
    left += list(folder.rglob("*.partial"))
    assert not left, f"{name}, {folder}: {left} left behind"
    return kills


def _moment(draw: random.Random) -> dict[str, float]:
    if draw.random() < 0.6:
        return {"event": draw.randrange(draw.choice((8, 40)))}  # some look at few files
    return {"after": draw.uniform(0.05, 1.2)}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("works", nargs="*", help=f"any of {', '.join(WORKS)} (default: all)")
    parser.add_argument("--count", type=int, default=20, help="kills in all, at least")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    works, draw = options.works or list(WORKS), random.Random(options.seed)
    place = Path(tempfile.mkdtemp(prefix="hico-kills-"))
    status = _run_all(place, works, options.count, draw)
    if status:
        print(f"what is broken lies in {place}")
    else:
        shutil.rmtree(place)
    sys.exit(status)


def _run_all(place: Path, works: list[str], count: int, draw: random.Random) -> int:
    torch.set_num_threads(1)
    inputs = place / "inputs"
    write_inputs(inputs)
    wholes = {name: uninterrupted(name, inputs, place / f"{name}-whole") for name in works}
    kills, broken, trials = dict.fromkeys(works, 0), 0, 0
    while sum(kills.values()) < count:
        name = works[trials % len(works)]
        folder = place / f"trial{trials}"
        trials += 1
        try:
            kills[name] += trial(name, inputs, folder, draw, wholes[name])
        except AssertionError as error:
            broken += 1
            print(f"BROKEN {error}", flush=True)
        else:
            shutil.rmtree(folder)
    shares = ", ".join(f"{name} {number}" for name, number in kills.items())
    print(f"{trials} trials, {sum(kills.values())} kills ({shares}), {broken} broken")
    return 1 if broken else 0


def uninterrupted(name: str, inputs: Path, folder: Path) -> dict:
    """What a command leaves that nobody kills."""
    work, look = WORKS[name]
    assert run(work, inputs, folder) == 0, Path(f"{folder}.log").read_text()
    return look(folder)


if __name__ == "__main__":
    main()
