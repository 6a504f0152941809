"""How a cell is run: the script's command line, and what the script makes of it.

Settings are what the script's own parser returns, defaults included, so that two spellings of one
run are the same run. Parsing happens in a process of its own: tools do not import options.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.reproduce.cells import PRETRAINING, Cell

ROOT = Path(__file__).resolve().parents[2]
LAST = "checkpoint_last.pth.tar"
Settings = dict[str, Any]

_SCRIPTS = {PRETRAINING: "pretraining", "knn": "action_retrieval"}
_OPTIONS = {"pretraining": "pretraining", "action_retrieval": "retrieval"}
_EXTRAS = {"semi": ("finetune", "semi"), "transfer": ("finetune", "transfer")}
"""Modes that take the extra options of another one before their own."""
_CHOSEN_HERE = frozenset(
    ("--pre-dataset", "--finetune-dataset", "--protocol", "--skeleton-representation")
    + ("--finetune-skeleton-representation", "--encoder", "--seed", "--pretrained", "--resume")
    + ("--checkpoint-path", "--data-path", "--device", "--mode", "--label-fraction", "--runs")
    + ("--start-epoch", "--output-path", "--output")
)
_WHERE_ONLY = frozenset(
    ("device", "print_freq", "workers", "resume", "data_path", "checkpoint_path", "save_freq")
    + ("pretrained", "output_path", "save_features", "graph")
)
"""Options that do not change what comes out."""
_PARSE = """
import importlib, json, sys
for module, argv in json.load(sys.stdin):
    options = importlib.import_module(f"options.{module}").parse(argv)
    print(json.dumps(vars(options), default=str))
"""


@dataclass(frozen=True)
class Setup:
    """What all cells share.

    Attributes:
        out: folder of all runs.
        data_path: folder of the prepared data sets.
        device: name, as the scripts take it.
        extras: further options for the scripts, by mode.
    """

    out: Path
    data_path: Path
    device: str = "auto"
    extras: dict[str, tuple[str, ...]] = field(default_factory=dict)


def check_extras(extras: dict[str, Sequence[str]]) -> None:
    """Refuse extra options that would change which cell is run.

    Raises:
        ValueError: naming the option.
    """
    for mode, words in extras.items():
        for word in words:
            name = word.split("=")[0].replace("_", "-")
            if name in _CHOSEN_HERE:
                raise ValueError(
                    f"--{mode} {name}: tools.reproduce sets it itself; choose by its own options"
                )


def script(cell: Cell) -> str:
    """The script or module that runs a cell."""
    if cell.mode == "ensemble":
        return "tools.ensemble"
    return _SCRIPTS.get(cell.mode, "action_classification")


def arguments(cell: Cell, setup: Setup, resume: Path | None = None) -> list[str]:
    """The command line of a cell without the program.

    Args:
        cell: not an ensemble.
        setup: what all cells share.
        resume: file to go on from.
    """
    run, (dataset, protocol) = cell.run, cell.split
    training = cell.mode == PRETRAINING
    prefix = "" if training else "finetune-"
    given = {
        "pre-dataset" if training else "finetune-dataset": dataset,
        "protocol": protocol,
        f"{prefix}skeleton-representation": run.stream,
        "data-path": setup.data_path,
        "device": setup.device,
        "seed": run.seed,
    }
    if training:
        given |= {"encoder": run.encoder, "checkpoint-path": cell.folder(setup.out)}
    else:
        given |= {"pretrained": Cell(run, PRETRAINING).folder(setup.out) / LAST}
        given |= _labels(cell)
        given["output-path"] = cell.folder(setup.out)
    if resume:
        given["resume"] = resume
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    return [*extra_words(cell.mode, setup), *words]


def _labels(cell: Cell) -> Settings:
    if cell.mode == "knn":
        return {}
    given = {"mode": "linear" if cell.mode == "linear" else "finetune"}
    if cell.fraction:
        given |= {"label-fraction": cell.fraction, "runs": cell.subsets}
    return given


def extra_words(mode: str, setup: Setup) -> list[str]:
    """The extra options that cells of a mode get."""
    return [word for name in _EXTRAS.get(mode, (mode,)) for word in setup.extras.get(name, ())]


def command(cell: Cell, setup: Setup, resume: Path | None = None) -> list[str]:
    """The whole command of a cell."""
    if cell.mode == "ensemble":
        scores = [str(product(need, setup.out)) for need in cell.needs()]
        words = [*scores, *extra_words(cell.mode, setup)]
        from tools.evaluation.results import RESULTS  # brings torch, which --help does not need

        output = str(cell.folder(setup.out) / RESULTS)
        return [sys.executable, "-m", "tools.ensemble", *words, "--output", output]
    return [sys.executable, str(ROOT / f"{script(cell)}.py"), *arguments(cell, setup, resume)]


def state(cell: Cell, out: Path) -> Path:
    """The file that an interrupted run of a cell leaves to go on from."""
    if cell.mode == PRETRAINING:
        return cell.folder(out) / LAST
    several = "_run0" if cell.subsets > 1 or cell.fraction else ""
    return cell.folder(out) / f"{cell.run.stream}{several}_model_last.pth.tar"


def product(cell: Cell, out: Path) -> Path | None:
    """The file of a finished cell that others are made of; None where there is none."""
    if cell.mode == PRETRAINING:
        return cell.folder(out) / LAST
    return cell.folder(out) / f"{cell.run.stream}_scores.npz" if cell.mode == "linear" else None


def settings(cells: Sequence[Cell], setup: Setup) -> list[Settings]:
    """What the scripts make of the commands of these cells, defaults included.

    Raises:
        ValueError: an option that a script refuses, with the script's own words.
    """
    asked = [
        (_OPTIONS.get(script(cell), "classification"), arguments(cell, setup))
        for cell in cells
        if cell.mode != "ensemble"
    ]
    done = subprocess.run(
        [sys.executable, "-c", _PARSE],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    read = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode:
        fault = (done.stderr.strip().splitlines() or ["the scripts' options cannot be read"])[-1]
        raise ValueError(f"{fault.removeprefix('error: ')} (of {asked[len(read)][0]})")
    left = iter(read)
    words = {"words": extra_words("ensemble", setup)}
    return [words if cell.mode == "ensemble" else next(left) for cell in cells]


def lasting(given: Settings) -> Settings:
    """The settings that decide what comes out."""
    return {name: value for name, value in given.items() if name not in _WHERE_ONLY}


def environment() -> dict[str, str]:
    """The environment of a child: it finds our packages, and its lines come at once."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
