"""`python -m tools.benchmark [WORK ...]`: tables on the screen, the same figures as JSON."""

if __name__ == "__main__":
    from tools.signals import answer_signals

    answer_signals()

from collections.abc import Sequence
from importlib import import_module

from options.benchmark import WORKS, BenchmarkOptions, parser
from tools.errors import one_line_errors


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    options = parser().parse(argv)
    with one_line_errors():
        run(options)


def run(options: BenchmarkOptions) -> None:
    """Measure, print the tables, write the JSON."""
    from tools.benchmark import report  # late: all three import torch
    from tools.benchmark.sizes import choose
    from tools.runtime import pick_device

    device = pick_device(options.device)
    sizes, lines = choose(options, device), []
    for work in options.works:
        module, function = WORKS[work].split(":")
        for line in getattr(import_module(module), function)(sizes):
            print(line, flush=True)
            lines.append(line)
            report.save(options.json, device, lines)  # each time: a later work may fail
    print(f"\n{report.report(device, lines)}\n\nwritten to {options.json}")


if __name__ == "__main__":
    main()
