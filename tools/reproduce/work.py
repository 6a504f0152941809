"""Run what is missing, one cell after the other, so that it can be stopped anywhere."""

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tools.checkpoint import file_sha256
from tools.reproduce import data, ledger, results, scripts
from tools.reproduce.cells import PRETRAINING, Cell, Split
from tools.reproduce.child import Children, last_line
from tools.reproduce.data import SplitData
from tools.reproduce.ledger import DONE, FAILED, Record
from tools.reproduce.scripts import Settings, Setup

NAMES = ("last", "best")
TO_DO, SKIPPED = "to do", "skipped"
REFUSED = 2
"""Exit status of a script that was asked for something impossible."""


@dataclass(frozen=True)
class Outcome:
    """Where one cell stands.

    Attributes:
        state: DONE, TO_DO, SKIPPED or FAILED.
        note: why it is skipped, or how it failed.
        record: what is known of it, once it has been run.
    """

    state: str
    note: str = ""
    record: Record | None = None


@dataclass
class Work:
    """The cells of a selection and where each stands.

    Attributes:
        cells: in an order in which each comes after what it needs.
        setup: what they share.
        found: what lies on disk of each split.
        options: what the scripts make of the cells' commands.
        usual: what they make of them without the options that are added by hand.
        outcomes: of the cells looked at so far.
    """

    cells: Sequence[Cell]
    setup: Setup
    found: dict[Split, SplitData | str]
    options: dict[Cell, Settings]
    usual: dict[Cell, Settings]
    outcomes: dict[Cell, Outcome] = field(default_factory=dict)

    @classmethod
    def of(cls, cells: Sequence[Cell], setup: Setup) -> "Work":
        """Look at the disk and at the options, and refuse what cannot be meant.

        Raises:
            ValueError: an option that a script refuses, a pre-training made with other settings,
                or nothing to run at all.
        """
        splits = {(cell.run.dataset, cell.run.protocol) for cell in cells}
        splits |= {cell.split for cell in cells}
        found = {split: data.look(setup.data_path, split) for split in sorted(splits)}
        options, usual = (
            dict(zip(cells, scripts.settings(cells, one), strict=True))
            for one in (setup, replace(setup, extras={}))
        )
        work = cls(cells, setup, found, options, usual)
        for cell in cells:
            work.outcomes[cell] = work.look(cell)
        if all(outcome.state == SKIPPED for outcome in work.outcomes.values()):
            first, *others = {outcome.note: None for outcome in work.outcomes.values()}
            more = f"; {len(others)} more splits are not there" if others else ""
            raise ValueError(f"nothing to run; {first}{more}")
        return work

    def notes(self) -> list[str]:
        """What a reader of the table has to know of the data."""
        there = {split: of for split, of in self.found.items() if not isinstance(of, str)}
        notes = [data.unlike_published(split, of) for split, of in there.items()]
        return [note for note in notes if note]

    def look(self, cell: Cell) -> Outcome:
        """Where a cell stands, from the disk alone."""
        reason = data.missing(cell, self.found)
        if reason:
            return Outcome(SKIPPED, reason)
        needed = [self.outcomes[need] for need in cell.needs()]
        for outcome in needed:
            if outcome.state in (SKIPPED, FAILED):
                return Outcome(SKIPPED, f"what it needs {outcome.state}: {outcome.note}")
        if any(outcome.state == TO_DO for outcome in needed):
            return Outcome(TO_DO)
        usual = scripts.lasting(self.usual[cell])
        record = ledger.is_done(cell, self.setup.out, self.settings(cell), usual)
        return Outcome(DONE, record=record) if record else Outcome(TO_DO)

    def settings(self, cell: Cell) -> Settings:
        """All that decides what comes out of a cell; what it needs has been run."""
        needed = [self.outcomes[need].record for need in cell.needs()]
        options = scripts.lasting(self.options[cell])
        return ledger.whole_settings(cell, options, self.found[cell.split], needed)

    def run(
        self,
        children: Children,
        report: Callable[[str], None],
        after_each: Callable[[], None] = lambda: None,
    ) -> None:
        """Run every cell that is to do, until the last one or a signal.

        Args:
            children: runs the scripts.
            report: told what begins and how it ended.
            after_each: called when a cell has ended.
        """
        for number, cell in enumerate(self.cells, start=1):
            if children.stopped_by is not None:
                return
            self.outcomes[cell] = outcome = self.look(cell)
            if outcome.state != TO_DO:
                continue
            report(f"[{number}/{len(self.cells)}] {cell}")
            self.outcomes[cell] = self._run_cell(cell, children)
            report(f"    {describe(self.outcomes[cell])}")
            after_each()

    def _run_cell(self, cell: Cell, children: Children) -> Outcome:
        out, settings = self.setup.out, self.settings(cell)
        began, resume = time.monotonic(), self._resume(cell, settings)
        ledger.write(cell, out, ledger.STARTED, settings)
        status, said = self._call(cell, children, resume)
        if status == REFUSED and resume and cell.mode != PRETRAINING:
            # Killed after its last epoch: nothing is left to go on with, so it begins anew.
            status, said = self._call(cell, children, None)
        if status and children.stopped_by is not None:
            return Outcome(TO_DO, "interrupted")
        more = {"seconds": round(time.monotonic() - began, 3)}
        try:
            if status:
                reason = last_line(said).removeprefix("error: ")
                raise ValueError(f"{reason or 'not a word'} (exit status {status})")
            more["scores"] = results.found(cell, out)
        except ValueError as error:
            note = f"{error}; see {ledger.log_of(cell, out)}"
            return Outcome(FAILED, note, ledger.write(cell, out, FAILED, settings, note=note))
        path = scripts.product(cell, out)
        more["product"] = file_sha256(path) if path else None
        return Outcome(DONE, record=ledger.write(cell, out, DONE, settings, **more))

    def _call(self, cell: Cell, children: Children, resume: Path | None) -> tuple[int, str]:
        """Run the script of a cell once; returns its exit status and what it said."""
        out = self.setup.out
        command = scripts.command(cell, self.setup, resume)
        cell.folder(out).mkdir(parents=True, exist_ok=True)
        results.clear(cell, out)
        log = ledger.log_of(cell, out)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"$ {shlex.join(command)}\n")
        start = log.stat().st_size
        status = children.run(command, log, scripts.environment())
        return status, log.read_bytes()[start:].decode(errors="replace")

    def _resume(self, cell: Cell, settings: Settings) -> Path | None:
        """The file that an interrupted run of this very cell left behind."""
        out = self.setup.out
        record = ledger.read(cell, out, scripts.lasting(self.usual[cell]))
        path = scripts.state(cell, out)
        return path if record and record["settings"] == settings and path.is_file() else None


def skipped(outcomes: Mapping[Cell, Outcome]) -> list[str]:
    """What is left out and why, a line for each reason."""
    cells: dict[str, int] = {}
    for outcome in outcomes.values():
        if outcome.state == SKIPPED:
            cells[outcome.note] = cells.get(outcome.note, 0) + 1
    return [f"{note} ({count} cells)" for note, count in cells.items()]


def describe(outcome: Outcome) -> str:
    """An outcome in words."""
    if outcome.state != DONE or not outcome.record:
        return ": ".join(filter(None, (outcome.state, outcome.note)))
    record = outcome.record
    took = f"{DONE} in {record['seconds']:.0f} s"
    tops = [
        ", ".join(f"{name} {score[name]['top1']:.2f} %" for name in NAMES if name in score)
        for score in record["scores"]
    ]
    return f"{took}: top-1 {'; '.join(tops)}" if tops else took
