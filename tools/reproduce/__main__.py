"""`python -m tools.reproduce`: run what is missing of the table, write ours beside the published.

Stop it at any time; the same command goes on. Results go to `--out`: one folder for each
pre-training with its checkpoints, records and logs, and `table.md` and `table.json`.
"""

import fcntl
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from dataset.protocols import register
from tools.errors import one_line_errors
from tools.reproduce.cells import Selection, expand
from tools.reproduce.command import EXTRAS, joined, parser, selection
from tools.reproduce.scripts import Setup, check_extras


def main(argv: Sequence[str] | None = None) -> None:
    """Run, or plan, what the command line asks for.

    Exit status 2 for an expected error, 1 when a cell failed, 128 + n for signal n.

    Args:
        argv: the command line without the program's name.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    options = parser().parse_args(joined(argv))
    command = shlex.join(["python", "-m", "tools.reproduce", *argv])
    with one_line_errors():
        register(options.data_path)
        chosen = selection(options)
        extras = {name: getattr(options, name) for name in EXTRAS}
        check_extras(extras)
        setup = Setup(options.out, options.data_path, options.device, extras)
        try:
            status = run(chosen, setup, options.plan, command)
        except KeyboardInterrupt:  # before the first script began
            status = 128 + _stopped(signal.SIGINT, command)
    sys.exit(status)


def run(chosen: Selection, setup: Setup, plan_only: bool, command: str) -> int:
    """Plan or run a selection; returns the exit status.

    Args:
        chosen: what is asked for.
        setup: where and how.
        plan_only: print what would be run and leave.
        command: the command line, to go on with.
    """
    from tools.reproduce import plan, table
    from tools.reproduce.child import Children
    from tools.reproduce.work import DONE, FAILED, SKIPPED, Work, skipped

    if plan_only:
        plan.show(Work.of(expand(chosen), setup))
        return 0
    with _alone(setup.out) as lock:
        work = Work.of(expand(chosen), setup)
        for line in skipped(work.outcomes):
            print(f"skipped  {line}")
        for note in work.notes():
            print(f"note: {note}")
        children = Children(_say, keep=(lock.fileno(),))
        save = partial(table.save, work.outcomes, setup.out, command, work.notes())
        with children.passing_signals():
            work.run(children, _say, save)
        written = save()
    print(f"table: {written[0]} and {written[1]}")
    if children.stopped_by is not None:
        return 128 + _stopped(children.stopped_by, command)
    states = [outcome.state for outcome in work.outcomes.values()]
    print(", ".join(f"{states.count(name)} {name}" for name in (DONE, FAILED, SKIPPED)))
    return 1 if FAILED in states else 0


def _stopped(number: int, command: str) -> int:
    print(f"stopped by {signal.Signals(number).name}; go on with: {command}")
    return number


def _say(line: str) -> None:
    print(line, flush=True)


@contextmanager
def _alone(out: Path) -> Iterator[IO[str]]:
    """Hold the folder of results; children hold it too, so that none outlives a lost parent unseen.

    Raises:
        ValueError: when another run holds it.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"--out {out}: another run, or a script it began, is at work"
            ) from None
        yield lock


if __name__ == "__main__":
    main()
