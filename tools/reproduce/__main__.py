"""`python -m tools.reproduce`: run what is missing of the table, write ours beside the published.

Stop it at any time; the same command goes on. Results go to `--out`: one folder for each
pre-training with its checkpoints, records and logs, and `table.md` and `table.json`, or `study.md`
and `study.json` with `--study`.
"""

if __name__ == "__main__":
    from tools.signals import answer_signals

    answer_signals()

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
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    options = parser().parse(argv)
    again = shlex.join(["python", "-m", "tools.reproduce", *argv])
    with one_line_errors():
        try:
            status = run(options, again)
        except KeyboardInterrupt:  # before the first script began
            status = _stopped(signal.SIGINT, again)
    sys.exit(status)


def run(options: ReproduceOptions, again: str) -> int:
    """Plan or run a selection; the exit status. `again` is the command line, to go on with."""
    from tools.files import held
    from tools.reproduce import paired, plan, table
    from tools.reproduce.child import Children
    from tools.reproduce.run import DONE, FAILED, SKIPPED, Runner, skipped
    from tools.runtime import until_signal

    if options.plan:
        plan.show(Runner(options))
        return 0
    say = partial(print, flush=True)
    save = paired.save if options.study else table.save
    with held(options.out) as lock:
        runner = Runner(options)
        for line in skipped(runner.outcomes):
            say(f"skipped  {line}")
        for note in runner.notes():
            say(f"note: {note}")
        children = Children(say, keep=(lock,))
        # Every signal goes on to the children; the work stops when they have ended.
        with until_signal(children.stop, every=True):
            runner.run(children, say, after_each=partial(save, runner, again))
        text, numbers = save(runner, again)
    say(f"table: {text} and {numbers}")
    if children.stopped_by is not None:
        return _stopped(children.stopped_by, again)
    states = [outcome.state for outcome in runner.outcomes.values()]
    say(", ".join(f"{states.count(name)} {name}" for name in (DONE, FAILED, SKIPPED)))
    return 1 if FAILED in states else 0


def _stopped(number: int, again: str) -> int:
    print(f"stopped by {signal.Signals(number).name}; go on with: {again}")
    return 128 + number


if __name__ == "__main__":
    main()
