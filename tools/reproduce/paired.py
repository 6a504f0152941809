"""The table of a study: each setting on each data set, and its paired difference to the baseline.

A difference is taken between two runs of one seed, and only over seeds that both have.
"""

import math
import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.special import stdtrit  # quantiles of Student's t

from options.evaluations import EVALUATIONS, PRETRAINING
from options.study import Split, Study
from tools.evaluation.results import spread
from tools.reproduce.cells import Cell, Run
from tools.reproduce.run import DONE, Runner
from tools.reproduce.table import figure, left_out, write

Row = dict[str, Any]
CONFIDENCE = 0.95
_EXPLAINED = (
    "Top-1 accuracy in percent at the *last* epoch, mean ± standard deviation over seeds; beside "
    "it the difference to the baseline, taken seed by seed, with its 95 % interval (Student's t "
    "over the seeds). *chance* calls every clip the commonest training class; *random* is an "
    "encoder as it was drawn. *minutes* are those of the processors (user and system) in one "
    "pre-training, *steps* its steps; a setting that ends in *-time* was trained for the minutes "
    "of the baseline. Only what has ended counts."
)


def difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Row | None:
    """Ours less theirs over the seeds that both have; None where they share none.

    Returns:
        `mean`, `low` and `high` of the 95 % interval (None for one seed), and `runs`.
    """
    values = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
    if not values:
        return None
    mean, runs, half = statistics.fmean(values), len(values), None
    if runs > 1:
        quantile = float(stdtrit(runs - 1, 0.5 + CONFIDENCE / 2))
        half = quantile * statistics.stdev(values) / math.sqrt(runs)
    low, high = (None, None) if half is None else (mean - half, mean + half)
    return {"mean": mean, "low": low, "high": high, "runs": runs}


def rows(runner: Runner, study: Study) -> list[Row]:
    """A row for each setting on each split, in the order of the study."""
    found: dict[tuple[Split, str], list[Run]] = {}
    for run in dict.fromkeys(cell.run for cell in runner.outcomes):
        found.setdefault((run.split, run.setting), []).append(run)
    splits = study.data
    ordered = {split: [runs for (of, _), runs in found.items() if of == split] for split in splits}
    return [
        _row(runs, found[split, study.baseline], runner, study)
        for split, of_split in ordered.items()
        for runs in of_split
    ]


def _row(runs: Sequence[Run], baseline: Sequence[Run], runner: Runner, study: Study) -> Row:
    run, scores = runs[0], dict[str, Row]()
    for mode in study.evaluations:
        ours, theirs = (_by_seed(each, mode, runner) for each in (runs, baseline))
        scores[mode] = {
            "values": ours,
            "last": spread(list(ours.values())) if ours else None,
            "difference": None if runs == baseline else difference(ours, theirs),
        }
    return {
        "dataset": run.dataset,
        "protocol": run.protocol,
        "setting": run.setting,
        "stream": run.stream,
        "baseline": runs == baseline,
        "scores": scores,
        **_cost(runs, runner),
    }


def _by_seed(runs: Sequence[Run], mode: str, runner: Runner) -> dict[int, float]:
    scores = {run.seed: runner.outcomes[Cell(run, mode)].scores for run in runs}
    return {seed: found[0]["last"] for seed, found in scores.items() if found}


def _cost(runs: Sequence[Run], runner: Runner) -> Row:
    """Options, epochs and steps of a pre-training, and the processor time that each took."""
    every = (Cell(run, PRETRAINING) for run in runs)
    cells = [c for c in every if c in runner.outcomes and runner.outcomes[c].state == DONE]
    if not cells:
        return {"epochs": None, "steps": None, "processor_seconds": {}}
    training, data = runner.asked[cells[0]].training, runner.found[runs[0].split]
    per_epoch = 0 if isinstance(data, str) else data.train // training.batch_size
    spent = {cell.run.seed: runner.outcomes[cell].processor for cell in cells}
    return {
        "epochs": training.epochs,
        "steps": training.epochs * per_epoch,
        "processor_seconds": {seed: seconds for seed, seconds in spent.items() if seconds},
    }


def markdown(found: Sequence[Row], runner: Runner, study: Study, command: str) -> str:
    """The table for people: a part for each data set, then what is missing and why."""
    parts = [f"# Study {study.path.stem}", _EXPLAINED, f"```\n{command}\n```"]
    parts += [f"**Note:** {note}." for note in runner.notes()]
    titles = [
        word
        for mode in study.evaluations
        for word in (EVALUATIONS[mode].title, f"less {study.baseline} [95 %]")
    ]
    header = ["setting", *titles, "minutes", "steps", "seeds"]
    for split in study.data:
        data = runner.found[split]
        if isinstance(data, str):
            continue
        mine = [row for row in found if (row["dataset"], row["protocol"]) == split]
        chance = [cell for _ in study.evaluations for cell in (f"{data.chance:.2f}", "–")]
        lines = [header, ["---"] * len(header), ["chance", *chance, "–", "–", "–"]]
        lines += [_line(row) for row in mine]
        title = f"{runner.options.known[split[0]].title}, {split[1]}"
        parts += [f"## {title}: {data.train:,} clips to train, {data.test:,} to test"]
        parts += ["\n".join(f"| {' | '.join(line)} |" for line in lines)]
    settings = [f"- {name}: {shlex.join(words) or '–'}" for name, words in study.settings.items()]
    parts += ["## Settings", "\n".join(settings)]
    return "\n\n".join([*parts, *left_out(runner.outcomes)]) + "\n"


def _line(row: Row) -> list[str]:
    cells = [f"**{row['setting']}**" if row["baseline"] else row["setting"]]
    runs = []
    for of_mode in row["scores"].values():
        last, less = of_mode["last"], of_mode["difference"]
        cells += [figure(last) if last else "–", _interval(less) if less else "–"]
        runs.append(last["runs"] if last else 0)
    minutes = [seconds / 60 for seconds in row["processor_seconds"].values()]
    steps = "–" if row["steps"] is None else f"{row['steps']:,}"
    seeds = "/".join(map(str, dict.fromkeys(runs)))
    return [*cells, f"{statistics.fmean(minutes):.1f}" if minutes else "–", steps, seeds]


def _interval(less: Row) -> str:
    mean = f"{less['mean']:+.2f}"
    return mean if less["low"] is None else f"{mean} [{less['low']:+.2f}, {less['high']:+.2f}]"


def save(runner: Runner, command: str) -> tuple[Path, Path]:
    """Write `study.md` and `study.json`, each whole or not at all, and name them."""
    study = runner.options.grid
    found, notes = rows(runner, study), runner.notes()
    chance = {
        " ".join(split): None if isinstance(data, str) else data.chance
        for split, data in runner.found.items()
    }
    said = markdown(found, runner, study, command)
    content = {"command": command, "notes": notes, "chance": chance, "rows": found}
    return write(runner, "study", said, content)
