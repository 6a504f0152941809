"""The table: our figures over seeds beside the published ones, as Markdown and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataset.protocols import DATASETS, STREAMS, DataSet
from options.evaluations import EVALUATIONS, PRETRAINING
from tools.evaluation.results import spread, write_json
from tools.files import write_whole
from tools.reproduce.cells import Cell
from tools.reproduce.published import FIGURES, Figure
from tools.reproduce.run import DONE, FAILED, SKIPPED, TO_DO, Outcome, Runner, skipped

Row = dict[str, Any]
Outcomes = Mapping[Cell, Outcome]
Where = tuple[str, str, str, str, str]
"""What a figure is of: mode, data set, protocol, stream, and details (fraction or source)."""
NOT_CHOSEN = "not chosen"
_WORDS = {DONE: DONE, FAILED: FAILED, SKIPPED: "no data", TO_DO: "not run yet"}
_HEADER = (
    "| data set | protocol | stream | method | published | our encoder | ours, last | ours, best "
    "| runs | source |"
)
_EXPLAINED = (
    "Top-1 accuracy in percent, mean ± standard deviation over seeds (and over subsets of the "
    "labels). The headline is our *last* epoch, chosen by nobody; every published figure is "
    "that of the *best* test epoch, which the test part has chosen. Retrieval and ensemble "
    "have no epochs of their own. A row of another method shows our figure of the same "
    "protocol beside it. Figures nobody could show the source of are not here: HiCo's own of "
    "retrieval, of few labels and of transfer."
)


def where(cell: Cell) -> Where:
    """What the figure of an evaluation is of, whichever encoder and seed."""
    details = f"{100 * cell.fraction:g} % of the labels" if cell.fraction else ""
    if cell.target:
        details = f"from {cell.run.dataset} {cell.run.protocol}"
    return (cell.mode, *cell.split, cell.run.stream, details)


def rows(outcomes: Outcomes, datasets: Mapping[str, DataSet] = DATASETS) -> list[Row]:
    """Every published figure and every evaluation of ours, in the order of modes and data sets."""
    ours: dict[Where, dict[str, list[Cell]]] = {}
    for cell in outcomes:
        if cell.mode != PRETRAINING:
            ours.setdefault(where(cell), {}).setdefault(cell.run.encoder, []).append(cell)
    published: dict[Where, list[Figure]] = {}
    for one in FIGURES:
        published.setdefault((one.mode, one.dataset, one.protocol, one.stream, ""), []).append(one)

    def _place(of: Where) -> tuple:
        mode, dataset, protocol, stream, details = of
        place = STREAMS.index(stream) if stream in STREAMS else len(STREAMS)
        return [*EVALUATIONS].index(mode), [*datasets].index(dataset), protocol, place, details

    return [
        {"title": datasets[of[1]].title, **row}
        for of in sorted({**published, **ours}, key=_place)
        for row in _rows_of(of, published.get(of, []), ours.get(of, {}), outcomes)
    ]


def _rows_of(
    of: Where, figures: Sequence[Figure], cells: Mapping[str, list[Cell]], outcomes: Outcomes
) -> Iterator[Row]:
    names = ("mode", "dataset", "protocol", "stream", "details")
    by_encoder = {one.encoder: one for one in figures if one.encoder}
    # A figure of another method stands beside ours of the Transformer, or of the first encoder.
    beside = "Transformer" if "Transformer" in cells else next(iter(cells), "")
    pairs = [(encoder, by_encoder.get(encoder)) for encoder in dict.fromkeys((*cells, *by_encoder))]
    pairs += [(beside, figure) for figure in figures if not figure.encoder]
    for encoder, figure in pairs:
        others = figure is not None and not figure.encoder
        yield {
            **dict(zip(names, of, strict=True)),
            "method": figure.method if others else f"HiCo-{encoder}",
            "published": figure.top1 if figure else None,
            "source": figure.source if figure else "",
            "note": figure.note if figure else "",
            "encoder": encoder,
            **summarise(cells.get(encoder, []), outcomes),
        }


def summarise(cells: Sequence[Cell], outcomes: Outcomes) -> Row:
    """The figures of cells that differ in their seed only, over seeds and subsets.

    Returns:
        `state` in words, the `values` by seed, and `last` and `best`: mean, std (n - 1, None for
        one run) and runs; None where there is none.
    """
    values = {str(c.run.seed): list(outcomes[c].scores) for c in cells if outcomes[c].scores}
    summary: Row = {"state": _state([outcomes[cell].state for cell in cells]), "values": values}
    for which in ("last", "best"):
        tops = [score[which] for scores in values.values() for score in scores if which in score]
        summary[which] = spread(tops) if tops else None
    return summary


def _state(states: Sequence[str]) -> str:
    counts = {_WORDS[state]: states.count(state) for state in _WORDS if state in states}
    if len(counts) < 2:
        return next(iter(counts), NOT_CHOSEN)
    return ", ".join(f"{count} {words}" for words, count in counts.items())


def markdown(
    found: Sequence[Row], outcomes: Outcomes, command: str, notes: Sequence[str] = ()
) -> str:
    """The table for people: a part for each mode, then what is missing and why."""
    parts = ["# Ours beside the published figures", _EXPLAINED, f"```\n{command}\n```"]
    parts += [f"**Note:** {note}." for note in notes]
    for mode, kind in EVALUATIONS.items():
        lines = [_line(row) for row in found if row["mode"] == mode]
        if lines:
            rule = "|" + "---|" * (_HEADER.count("|") - 1)
            parts += [f"## {kind.title}", "\n".join([_HEADER, rule, *lines])]
    return "\n\n".join([*parts, *left_out(outcomes)]) + "\n"


def left_out(outcomes: Outcomes) -> Iterator[str]:
    """What is missing and why, as paragraphs of Markdown."""
    left = {"Skipped": skipped(outcomes)}
    for state, title in ((FAILED, "Failed"), (TO_DO, "Not run yet")):
        notes = _notes(outcomes, state)
        left[title] = [": ".join(filter(None, one.values())) for one in notes]
    for title, lines in left.items():
        if lines:
            yield f"## {title}"
            yield "\n".join(f"- {line}" for line in lines)


def _line(row: Row) -> str:
    last, best, top1 = row["last"], row["best"], row["published"]
    # As it was published: some give one decimal, some two.
    decimals = 1 if top1 is None or round(top1, 1) == top1 else 2
    cells = (
        " ".join(filter(None, (row["title"], row["details"]))),
        row["protocol"],
        row["stream"],
        row["method"],
        "–" if top1 is None else f"{top1:.{decimals}f}",
        row["encoder"] or "–",
        row["state"] if last is None else figure(last),
        "–" if best is None else figure(best),
        str(last["runs"]) if last else "–",
        "; ".join(filter(None, (row["source"], row["note"]))) or "–",
    )
    return f"| {' | '.join(cells)} |"


def _notes(outcomes: Outcomes, state: str) -> list[dict[str, str]]:
    left = {cell: outcome for cell, outcome in outcomes.items() if outcome.state == state}
    return [{"cell": str(cell), "note": outcome.note} for cell, outcome in left.items()]


def figure(summary: Row) -> str:
    """Mean ± standard deviation, as tables show it."""
    mean = f"{summary['mean']:.2f}"
    return mean if summary["std"] is None else f"{mean} ± {summary['std']:.2f}"


def save(runner: Runner, command: str) -> tuple[Path, Path]:
    """Write `table.md` and `table.json`, each whole or not at all, and name them."""
    outcomes, notes = runner.outcomes, runner.notes()
    found = rows(outcomes, runner.options.known)
    said = markdown(found, outcomes, command, notes)
    return write(runner, "table", said, {"command": command, "notes": notes, "rows": found})


def write(runner: Runner, name: str, text: str, content: Row) -> tuple[Path, Path]:
    """Write a table for people and one for programs, which also says what is missing."""
    markdown, numbers = (runner.out / f"{name}.{kind}" for kind in ("md", "json"))
    write_whole(markdown, lambda file: file.write(text.encode()))
    left = {state: _notes(runner.outcomes, state) for state in (SKIPPED, FAILED, TO_DO)}
    write_json(numbers, content | left)
    return markdown, numbers
