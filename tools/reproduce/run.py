"""Run what is missing, each cell after what it needs; it can be stopped anywhere and goes on there.

A record, `{cell}.json`, is written before a cell begins: the settings that decide what comes out,
the data it reads and what it is made of. It is completed when the cell has ended. A cell is done
when its record is complete and says what is asked for now, and its results are there.
"""

import json
import os
import shlex
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from dataset.reading import reading
from options.evaluations import PRETRAINING, Json, Score
from options.pretraining import AUTO
from options.reproduce import ReproduceOptions
from tools.errors import ROOT
from tools.evaluation.results import RESULTS, write_json
from tools.files import file_sha256, naming
from tools.reproduce import data
from tools.reproduce.cells import (
    Cell,
    Settings,
    command,
    expand,
    expand_study,
    lasting,
    read,
)
from tools.reproduce.child import Children, last_line

DONE, TO_DO, SKIPPED, FAILED = "done", "to do", "skipped", "failed"
VERSION = 2
"""Of the layout of records."""


@dataclass(frozen=True)
class Outcome:
    """Where one cell stands."""

    state: str  # DONE, TO_DO, SKIPPED or FAILED
    note: str = ""  # why it is skipped, or how it failed
    scores: tuple[Score, ...] = ()  # of a finished evaluation, one for each subset of the labels
    product: str | None = None  # SHA-256 of the file that others are made of, once it is there
    seconds: float = 0.0  # that a finished cell took
    processor: float | None = None  # seconds of processors that it took in all; None: not known

    def __str__(self) -> str:
        if self.state != DONE:
            return ": ".join(filter(None, (self.state, self.note)))
        tops = (", ".join(f"{name} {top:.2f} %" for name, top in s.items()) for s in self.scores)
        found = f": top-1 {'; '.join(tops)}" if self.scores else ""
        return f"{DONE} in {self.seconds:.0f} s{found}"


class Runner:
    """The cells of a selection and where each stands: `found` on disk, `asked` of the scripts."""

    def __init__(self, options: ReproduceOptions) -> None:
        """Look at the disk and at the options, and refuse what cannot be meant.

        Raises:
            ValueError: an option that a script refuses, a pre-training made with other settings,
                or nothing to run at all.
        """
        self.options, self.out = options, options.out
        cells = expand_study(options.grid) if options.grid else expand(options)
        splits = dict.fromkeys(split for cell in cells for split in (cell.run.split, cell.split))
        self.found = {split: data.look(options, split) for split in splits}
        self.asked = {cell: read(cell, options) for cell in cells}
        # An option that came after a record was written was left at its default.
        self._usual = {cell: lasting(read(cell, options, plain=True)) for cell in cells}
        self.outcomes: dict[Cell, Outcome] = {}
        for cell in cells:
            self.outcomes[cell] = self.look(cell)
        if all(outcome.state == SKIPPED for outcome in self.outcomes.values()):
            first, *others = dict.fromkeys(outcome.note for outcome in self.outcomes.values())
            more = f"; {len(others)} more splits are not there" if others else ""
            raise ValueError(f"nothing to run; {first}{more}")

    def notes(self) -> list[str]:
        """What a reader of the table has to know of the data."""
        notes = [
            data.unlike_published(self.options.known[dataset], protocol, here)
            for (dataset, protocol), here in self.found.items()
        ]
        return [note for note in notes if note]

    def look(self, cell: Cell) -> Outcome:
        """Where a cell stands on disk; ValueError for a pre-training made with other settings."""
        reason = data.missing(cell, self.found)
        if reason:
            return Outcome(SKIPPED, reason)
        needed = [self.outcomes[need] for need in cell.needs()]
        for one in needed:
            if one.state in (SKIPPED, FAILED):
                return Outcome(SKIPPED, f"what it needs {one.state}: {one.note}")
        if any(one.state == TO_DO for one in needed):
            return Outcome(TO_DO)
        if cell.mode == PRETRAINING and cell.run.pace:
            unknown = [need for need in cell.needs() if not self.outcomes[need].processor]
            if unknown:
                folder = unknown[0].folder(self.out)
                note = f"{folder} does not say its processor time; remove it to run it anew"
                return Outcome(SKIPPED, note)
            self.asked[cell] = read(cell, self.options)  # now its epochs are known
        record, product = self._record(cell), cell.product(self.out)
        if product and not product.is_file():
            return Outcome(TO_DO)
        if cell.mode == PRETRAINING:
            self._refuse_other(cell, record)
        if record.get("settings") == self.settings(cell) and "seconds" in record:
            try:
                scores = self._scores(cell)
                time_spent = record["seconds"], record.get("processor_seconds")
                return Outcome(DONE, "", scores, record["product"], *time_spent)
            except (ValueError, KeyError):  # its results were removed or damaged: it is run again
                pass
        return Outcome(TO_DO)

    def settings(self, cell: Cell) -> Settings:
        """All that decides what comes out of a cell; what it needs has been run."""
        made_of = () if cell.mode == PRETRAINING else cell.needs()
        needed = [self.outcomes[need].product for need in made_of]
        here = {"data": self.found[cell.split].fingerprint, "made_of": needed}
        return lasting(self.asked[cell]) | here

    def _record(self, cell: Cell) -> Json:
        """The record of a cell; empty where it was never begun."""
        path = cell.record(self.out)
        if not path.is_file():
            return {}
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["version"] == VERSION:
                return record | {"settings": self._usual[cell] | record["settings"]}
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
        raise ValueError(
            f"{path} is not a record of tools.reproduce, or one of an older version; choose "
            "another --out, or remove it to run that cell anew"
        )

    def _refuse_other(self, cell: Cell, record: Json) -> None:
        """Never lose or mix a pre-training."""
        folder = cell.folder(self.out)
        if not record:
            raise ValueError(f"{folder} holds a checkpoint of another run; choose another --out")
        old, new = record["settings"], self.settings(cell)
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                raise ValueError(
                    f"{folder} was pre-trained with {name} {old.get(name)}, not {new.get(name)}; "
                    "give the same options or choose another --out"
                )

    def _scores(self, cell: Cell) -> tuple[Score, ...]:
        """The scores that a cell left; ValueError where there are none."""
        if cell.mode == PRETRAINING:
            return ()
        path = cell.folder(self.out) / RESULTS
        if not path.is_file():
            raise ValueError(f"it left no {path}")
        with reading(path, "a results file of this cell"):
            return tuple(cell.kind.scores(json.loads(path.read_text(encoding="utf-8"))))

    def run(
        self,
        children: Children,
        report: Callable[[str], None],
        after_each: Callable[[], object] = lambda: None,
    ) -> None:
        """Run every cell that is to do, until the last one or a signal; `report` is told of it.

        Scripts run in threads; signals and whatever changes `outcomes` stay in this one.
        """
        waiting, running = list(self.outcomes), dict[Future, Cell]()
        with ThreadPoolExecutor(self.options.at_once) as threads:
            try:
                while True:
                    self._start(waiting, running, threads, children, report)
                    if not running:
                        return
                    for ended in wait(running, return_when=FIRST_COMPLETED).done:
                        cell = running.pop(ended)
                        self.outcomes[cell] = ended.result()
                        named = f"{cell}: " if self.options.at_once > 1 else ""
                        report(f"    {named}{self.outcomes[cell]}")
                        after_each()
            except BaseException:
                children.stop(signal.SIGTERM)  # the other scripts would be waited for
                raise

    def _start(
        self,
        waiting: list[Cell],
        running: dict[Future, Cell],
        threads: ThreadPoolExecutor,
        children: Children,
        report: Callable[[str], None],
    ) -> None:
        """Begin the first cells that need nothing unfinished, as many as run at once."""
        for cell in list(waiting):
            if children.stopped_by is not None or len(running) == self.options.at_once:
                return
            if any(need in waiting or need in running.values() for need in cell.needs()):
                continue
            waiting.remove(cell)
            self.outcomes[cell] = self.look(cell)
            if self.outcomes[cell].state == TO_DO:
                place = [*self.outcomes].index(cell) + 1
                report(f"[{place}/{len(self.outcomes)}] {cell}")
                running[threads.submit(self._run_cell, cell, children)] = cell

    def _run_cell(self, cell: Cell, children: Children) -> Outcome:
        path, state, product = (of(self.out) for of in (cell.record, cell.state, cell.product))
        settings, began, before = self.settings(cell), time.monotonic(), self._record(cell)
        goes_on = before.get("settings") == settings and state.is_file()
        record = {"version": VERSION, "cell": str(cell), "settings": settings}
        write_json(path, record)
        there = AUTO if cell.mode == PRETRAINING else str(state) if goes_on else ""
        fault, spent = self._call(cell, children, there)
        # A part that was killed together with us left no time: then the sum is not known.
        earlier = before.get("processor_seconds") if goes_on else 0.0
        record["processor_seconds"] = None if earlier is None else round(earlier + spent, 3)
        write_json(path, record)
        try:
            if fault:
                raise ValueError(fault)
            scores = self._scores(cell)
        except ValueError as error:
            if children.stopped_by is not None:
                return Outcome(TO_DO, "interrupted")
            return Outcome(FAILED, f"{error}; see {path.with_suffix('.log')}")
        made = file_sha256(product) if product else None
        seconds = round(time.monotonic() - began, 3)
        write_json(path, record | {"product": made, "seconds": seconds})
        return Outcome(DONE, "", scores, made, seconds, record["processor_seconds"])

    def _call(self, cell: Cell, children: Children, resume: str) -> tuple[str, float]:
        """Run the script of a cell; how it failed or "", and its processor seconds."""
        words, folder = command(cell, self.options, resume), cell.folder(self.out)
        folder.mkdir(parents=True, exist_ok=True)
        # What an earlier run found must not be taken for what this one finds.
        (folder / RESULTS).unlink(missing_ok=True)
        log = cell.record(self.out).with_suffix(".log")
        with naming(log), log.open("a", encoding="utf-8") as file:
            file.write(f"$ {shlex.join(words)}\n")
        start = log.stat().st_size
        ended = children.run(words, log, environment(self.options.at_once))
        if not ended.status:
            return "", ended.processor_seconds
        said = last_line(log, start).removeprefix("error: ") or "not a word"
        return f"{said} (exit status {ended.status})", ended.processor_seconds


def environment(at_once: int = 1) -> dict[str, str]:
    """The environment of a child: it finds our packages, and its lines come at once.

    Of several children at once each takes its share of the processors, unless OMP_NUM_THREADS says
    how many: threads that wait for a processor spend time of another.
    """
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    share = str(max(1, (os.cpu_count() or 1) // at_once))
    threads = {"OMP_NUM_THREADS": share} if at_once > 1 else {}
    return {**threads, **os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def skipped(outcomes: Mapping[Cell, Outcome]) -> list[str]:
    """What is left out and why, a line for each reason."""
    notes = [outcome.note for outcome in outcomes.values() if outcome.state == SKIPPED]
    return [f"{note} ({notes.count(note)} cells)" for note in dict.fromkeys(notes)]
