"""The table: our figures over seeds beside the published ones, as Markdown and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataset.protocols import DATASETS
from tools.evaluation.results import spread, write_json
from tools.files import write_whole
from tools.reproduce.cells import MODES, PRETRAINING, Cell
from tools.reproduce.published import FIGURES, Figure
from tools.reproduce.work import DONE, FAILED, SKIPPED, TO_DO, Outcome, skipped

Row = dict[str, Any]
Where = tuple[str, str, str, str, str]
"""What a figure is of: mode, data set, protocol, stream, and details (fraction or source)."""
NOT_CHOSEN = "not chosen"
_TITLES = {
    "linear": "Linear probe",
    "knn": "Retrieval, one nearest neighbour",
    "finetune": "Fine-tuning",
    "semi": "Fine-tuning with a share of the labels",
    "transfer": "Transfer",
    "ensemble": "Ensemble of linear probes",
}
_HEADER = (
    "| data set | protocol | stream | method | published | our encoder | ours, last | ours, best "
    "| runs | source |"
)


def where(cell: Cell) -> Where:
    """What the figure of an evaluation is of, whichever encoder and seed."""
    details = ""
    if cell.fraction:
        details = f"{100 * cell.fraction:g} % of the labels"
    if cell.target:
        details = f"from {cell.run.dataset} {cell.run.protocol}"
    return (cell.mode, *cell.split, cell.run.stream, details)


def rows(outcomes: Mapping[Cell, Outcome]) -> list[Row]:
    """Every published figure and every evaluation of ours, side by side.

    Args:
        outcomes: of every cell of the selection.

    Returns:
        Rows in the order of modes and data sets. A figure of another method stands beside ours of
        the Transformer, or of the first encoder there is.
    """
    ours: dict[Where, dict[str, list[Cell]]] = {}
    for cell in outcomes:
        if cell.mode != PRETRAINING:
            ours.setdefault(where(cell), {}).setdefault(cell.run.encoder, []).append(cell)
    published: dict[Where, list[Figure]] = {}
    for figure in FIGURES:
        of = (figure.mode, figure.dataset, figure.protocol, figure.stream, "")
        published.setdefault(of, []).append(figure)
    found = []
    for of in sorted({**published, **ours}, key=_place):
        found += _rows_of(of, published.get(of, []), ours.get(of, {}), outcomes)
    return found


def _place(of: Where) -> tuple:
    mode, dataset, protocol, stream, details = of
    streams = ("joint", "motion", "bone")
    place = streams.index(stream) if stream in streams else len(streams)
    return MODES.index(mode), list(DATASETS).index(dataset), protocol, place, details


def _rows_of(
    of: Where,
    figures: Sequence[Figure],
    cells: dict[str, list[Cell]],
    outcomes: Mapping[Cell, Outcome],
) -> Iterator[Row]:
    by_encoder = {one.encoder: one for one in figures if one.encoder}
    for encoder in dict.fromkeys((*cells, *by_encoder)):
        summary = summarise(cells.get(encoder, []), outcomes)
        yield _row(of, f"HiCo-{encoder}", by_encoder.get(encoder), encoder, summary)
    beside = "Transformer" if "Transformer" in cells else next(iter(cells), "")
    for figure in figures:
        if not figure.encoder:
            summary = summarise(cells.get(beside, []), outcomes)
            yield _row(of, figure.method, figure, beside, summary)


def _row(of: Where, method: str, figure: Figure | None, encoder: str, summary: Row) -> Row:
    names = ("mode", "dataset", "protocol", "stream", "details")
    return {
        **dict(zip(names, of, strict=True)),
        "method": method,
        "published": figure.top1 if figure else None,
        "source": figure.source if figure else "",
        "note": figure.note if figure else "",
        "encoder": encoder,
        **summary,
    }


def summarise(cells: Sequence[Cell], outcomes: Mapping[Cell, Outcome]) -> Row:
    """The figures of cells that differ in their seed only.

    Args:
        cells: none, where it was not asked for.
        outcomes: of at least these cells.

    Returns:
        `last` and `best`, each mean, std (n - 1, None for one run) and runs over seeds and
        subsets, None where there is none; the values by seed; and `state` in words.
    """
    done = {cell.run.seed: outcomes[cell] for cell in cells if outcomes[cell].state == DONE}
    values = {
        str(seed): [{name: score[name]["top1"] for name in score} for score in scores]
        for seed, outcome in done.items()
        if (scores := outcome.record["scores"])
    }
    every = [score for scores in values.values() for score in scores]
    summary: Row = {"state": _state([outcomes[cell] for cell in cells]), "values": values}
    for which in ("last", "best"):
        tops = [score[which] for score in every if which in score]
        summary[which] = spread(tops) if tops else None
    return summary


def _state(outcomes: Sequence[Outcome]) -> str:
    states = [outcome.state for outcome in outcomes]
    if not states:
        return NOT_CHOSEN
    words = {DONE: DONE, FAILED: FAILED, SKIPPED: "no data", TO_DO: "not run yet"}
    if len(set(states)) == 1:
        return words[states[0]]
    counts = [f"{states.count(state)} {words[state]}" for state in words if state in states]
    return ", ".join(counts)


def markdown(
    found: Sequence[Row],
    outcomes: Mapping[Cell, Outcome],
    command: str,
    notes: Sequence[str] = (),
) -> str:
    """The table for people: a part for each mode, then what is missing and why."""
    parts = [
        "# Ours beside the published figures",
        "Top-1 accuracy in percent, mean ± standard deviation over seeds (and over subsets of the "
        "labels). The headline is our *last* epoch, chosen by nobody; every published figure is "
        "that of the *best* test epoch, which the test part has chosen. Retrieval and ensemble "
        "have no epochs of their own. A row of another method shows our figure of the same "
        "protocol beside it. Figures nobody could show the source of are not here: HiCo's own of "
        "retrieval, of few labels and of transfer.",
        f"```\n{command}\n```",
        *(f"**Note:** {note}." for note in notes),
    ]
    for mode in MODES:
        lines = [_line(row) for row in found if row["mode"] == mode]
        if lines:
            rule = "|" + "---|" * (_HEADER.count("|") - 1)
            parts += [f"## {_TITLES[mode]}", "\n".join([_HEADER, rule, *lines])]
    left = {"Skipped": skipped(outcomes)}
    for state, title in ((FAILED, "Failed"), (TO_DO, "Not run yet")):
        left[title] = [
            f"{cell}: {outcome.note}".removesuffix(": ")
            for cell, outcome in outcomes.items()
            if outcome.state == state
        ]
    for title, lines in left.items():
        parts += [f"## {title}", "\n".join(f"- {line}" for line in lines)] if lines else []
    return "\n\n".join(parts) + "\n"


def _line(row: Row) -> str:
    last, best = row["last"], row["best"]
    source = "; ".join(filter(None, (row["source"], row["note"])))
    cells = (
        DATASETS[row["dataset"]].title + (f" {row['details']}" if row["details"] else ""),
        row["protocol"],
        row["stream"],
        row["method"],
        _published(row["published"]),
        row["encoder"] or "–",
        row["state"] if last is None else _figure(last),
        "–" if best is None else _figure(best),
        str(last["runs"]) if last else "–",
        source or "–",
    )
    return f"| {' | '.join(cells)} |"


def _published(top1: float | None) -> str:
    """As it was published: some give one decimal, some two."""
    if top1 is None:
        return "–"
    return f"{top1:.1f}" if round(top1, 1) == top1 else f"{top1:.2f}"


def _figure(summary: Row) -> str:
    mean = f"{summary['mean']:.2f}"
    return mean if summary["std"] is None else f"{mean} ± {summary['std']:.2f}"


def save(
    outcomes: Mapping[Cell, Outcome], folder: Path, command: str, notes: Sequence[str] = ()
) -> tuple[Path, Path]:
    """Write `table.md` and `table.json`, each whole or not at all, and name them.

    Args:
        outcomes: of every cell.
        folder: where they go.
        command: what makes this table.
        notes: what its readers have to know.
    """
    found = rows(outcomes)
    text, table = folder / "table.md", folder / "table.json"
    said = markdown(found, outcomes, command, notes)
    write_whole(text, lambda file: file.write(said.encode()))
    left = {
        state: [
            {"cell": str(cell), "note": outcome.note}
            for cell, outcome in outcomes.items()
            if outcome.state == state
        ]
        for state in (SKIPPED, FAILED, TO_DO)
    }
    write_json(table, {"command": command, "notes": list(notes), "rows": found, **left})
    return text, table
