"""`python -m tools.reproduce`: run what is missing of the table, write ours beside the published.

Stop it at any time; the same command goes on. Results go to `--out`: one folder for each
pre-training with its checkpoints, records and logs, and `table.md` and `table.json`.
"""

import shlex
import signal
import sys
from collections.abc import Sequence
from functools import partial

from options.reproduce import ReproduceOptions, parser
from tools.errors import one_line_errors


def main(argv: Sequence[str] | None = None) -> None:
    """Run, or plan, what the command line asks for.

    Exit status 2 for an expected error, 1 when a cell failed, 128 + n for signal n.

    Args:
        argv: the command line without the program's name.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    options = parser().parse(argv)
    again = shlex.join(["python", "-m", "tools.reproduce", *argv])
    with one_line_errors():
        try:
            status = plan(options) if options.plan else run(options, again)
        except KeyboardInterrupt:  # before the first script began
            status = stopped(signal.SIGINT, again)
    sys.exit(status)


def plan(options: ReproduceOptions) -> int:
    """Say what would be run; returns the exit status."""
    from tools.reproduce.plan import show
    from tools.reproduce.run import Runner

    show(Runner(options))
    return 0


def run(options: ReproduceOptions, again: str) -> int:
    """Run a selection and write the table; returns the exit status.

    Args:
        options: the selection.
        again: the command line, to go on with.
    """
    from tools.files import held
    from tools.reproduce import table
    from tools.reproduce.child import Children
    from tools.reproduce.run import DONE, FAILED, SKIPPED, Runner, skipped

    say = partial(print, flush=True)
    with held(options.out) as lock:
        runner = Runner(options)
        for line in (*(f"skipped  {line}" for line in skipped(runner.outcomes)),
                     *(f"note: {note}" for note in runner.notes())):  # fmt: skip
            say(line)
        children = Children(say, keep=(lock,))
        save = partial(table.save, runner, again)
        with children.passing_signals():
            runner.run(children, say, save)
        written = save()
    say(f"table: {written[0]} and {written[1]}")
    if children.stopped_by is not None:
        return stopped(children.stopped_by, again)
    states = [outcome.state for outcome in runner.outcomes.values()]
    say(", ".join(f"{states.count(name)} {name}" for name in (DONE, FAILED, SKIPPED)))
    return 1 if FAILED in states else 0


def stopped(number: int, again: str) -> int:
    """Say that a signal ended the work and how to go on; returns the exit status."""
    print(f"stopped by {signal.Signals(number).name}; go on with: {again}")
    return 128 + number


if __name__ == "__main__":
    main()
