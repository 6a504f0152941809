"""Stands in for the scripts that `tools.reproduce` runs, and options that make them quick."""

import json
import os
import signal
import subprocess
from pathlib import Path

from options.evaluations import PRETRAINING
from tests.support.paths import ROOT
from tests.support.waiting import HANGS, heeding_interrupts, wait_until
from tools.reproduce.cells import LAST
from tools.reproduce.child import Ended

TINY = {
    "pretraining": "--hidden-size 8 --hico-dim 4 --hico-k 16 --batch-size 4 --epochs 2",
    "linear": "--epochs 2 --batch-size 8 --lr 0.5",
    "finetune": "--epochs 1 --batch-size 8",
}


class Scripts:
    """Stands in for the scripts: leaves what they leave, and keeps what it was called with."""

    def __init__(self):
        self.calls, self.fails, self.stops, self.stopped_by = [], {}, set(), None

    def run(self, argv, log, environment):
        name = log.stem
        self.calls.append(name)
        self.argv_as_given = argv
        self.argv = dict(zip(argv[2::1], argv[3::1], strict=False))
        if name in self.fails:
            log.write_text(log.read_text() + f"{self.fails[name]}\n")
            return Ended(2, 1.0)
        folder = log.parent / ("" if name == PRETRAINING else name)
        if name == PRETRAINING:
            (folder / LAST).write_text(log.parent.name)
        elif name == "knn":
            content = {"at": {"5": {"top1": 41.0}, "1": {"top1": 40.0}}}
            (folder / "results.json").write_text(json.dumps(content))
        elif name == "ensemble":
            content = {"mixtures": [{"top1": 1.0}, {"top1": 66.0}]}
            Path(argv[argv.index("--output") + 1]).write_text(json.dumps(content))
        else:
            self.classify(folder, name)
        if name in self.stops:
            self.stopped_by = signal.SIGINT
            return Ended(130, 2.0)
        return Ended(0, 4.0)

    def stop(self, number):
        self.stopped_by = number

    def classify(self, folder, name):
        stream = self.argv["--finetune-skeleton-representation"]
        runs = int(self.argv.get("--runs", 1))
        infix = "_run0" if "--label-fraction" in self.argv else ""
        (folder / f"{stream}{infix}_model_last.pth.tar").write_text("state")
        (folder / f"{stream}_scores.npz").write_text(str(self.argv))
        top1 = [50.0 + 10 * int(self.argv["--seed"]) + run for run in range(runs)]
        found = [{"last": {"top1": top}, "best": {"top1": top + 5}} for top in top1]
        if name not in self.stops:
            content = {"complete": True, "runs": found}
            (folder / "results.json").write_text(json.dumps(content))


def interrupted(argv, environment, log):
    """Start a command, and interrupt it as a terminal does once a log tells an epoch.

    Returns what it said; it must end as one that was interrupted.
    """
    process = subprocess.Popen(
        heeding_interrupts(argv),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: log.is_file() and "\nepoch " in log.read_text(), process)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 128 + signal.SIGINT
    return said
