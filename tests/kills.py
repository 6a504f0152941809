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

import numpy as np
import torch

import action_classification
import pretraining
from dataset.arrays import load_arrays
from tests.support.tiny import write_checkpoint, write_dataset
from tools.files import TEMPORARY
from tools.prepare import __main__ as prepare
from tools.training.record import CONFIG

EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate"}
MOST_TRIES = 50
PRETRAINING = (
    *("--hidden-size", "8", "--hico-dim", "4", "--hico-k", "16", "--batch-size", "4"),
    *("--print-freq", "1", "--device", "cpu", "--lr", "0.05", "--epochs", "5", "--seed", "3"),
    *("--save-freq", "2", "--encoder", "GRU", "--resume", "auto"),
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


def invent(inputs: Path, folder: Path) -> None:
    """Write invented recordings."""
    few = ("--performers", "2", "--clips", "1", "-j", "1")
    prepare.main(["synthetic", "--out", str(folder), "--seed", "3", *few])


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
    """The arrays of all splits."""
    found = {}
    for path in sorted(folder.rglob("train_data_joint.npy")):
        for part in ("train", "val"):
            arrays = load_arrays(path.parent, part)
            where = f"{path.parent.name} {part}"
            found[where] = (arrays.data.tobytes(), arrays.names, arrays.labels.tobytes())
    assert found, "no arrays"
    return found


def written(folder: Path) -> dict:
    """The bytes of all files."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


WORKS: dict[str, tuple[Callable, Callable]] = {
    "pretraining": (pretrain, trained),
    "classification": (classify, classified),
    "prepare": (make_arrays, prepared),
    "synthetic": (invent, written),
}
"""What is killed: the command, and what it leaves."""


def write_inputs(folder: Path) -> None:
    """Write what the commands read."""
    write_dataset(folder, train=14, val=6)
    write_checkpoint(folder / "checkpoint_0450.pth.tar")
    prepare.main(["synthetic", "--out", str(folder / "raw"), "--performers", "4", "--clips", "3"])


def run(work: Callable, inputs: Path, folder: Path, **kill: float) -> int:
    """Run a command in a child process that is killed at a moment; its exit status.

    Args:
        work: the command.
        inputs: from `write_inputs`.
        folder: where it writes.
        kill: `event`, the number of the look at a file before which it kills itself, or `after`,
            the seconds that it has; nothing lets it end.
    """
    child = os.fork()
    if not child:
        _be_child(work, inputs, folder, int(kill.get("event", -1)))
    timer = threading.Timer(kill.get("after", 600), os.kill, (child, signal.SIGKILL))
    timer.start()
    _, status = os.waitpid(child, 0)
    timer.cancel()
    timer.join()
    return os.waitstatus_to_exitcode(status)


def _be_child(work: Callable, inputs: Path, folder: Path, event: int) -> None:
    status = 1
    try:
        log = os.open(f"{folder}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if event >= 0:
            _kill_before(event, str(folder))
        work(inputs, folder)
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
        if status != -signal.SIGKILL:
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
        return {"event": draw.randrange(40)}
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
