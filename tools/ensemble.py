"""Streams together: `python -m tools.ensemble SCORES SCORES …`."""

if __name__ == "__main__":
    from tools.signals import answer_signals

    answer_signals()

from collections.abc import Sequence

from options.ensemble import EnsembleOptions, parser
from tools.errors import one_line_errors


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; exit status 2 for an expected error."""
    options = parser().parse(argv)
    with one_line_errors():
        show(options)


def show(options: EnsembleOptions) -> None:
    """Print the accuracy of each stream, each pair and all together; write them where asked."""
    from tools.evaluation.ensemble import combine, describe, load
    from tools.evaluation.results import write_json

    streams, names = load(options.scores)
    mixtures = combine(streams, options.fixed_weights, names)
    print(f"{len(streams[0].names)} clips, {streams[0].scores.shape[1]} classes, raw scores")
    for each in mixtures:
        shares = " ".join(f"{weight:.3g}" for weight in each.weights)
        shares = f"  (weights {shares})" if len(each.weights) > 1 else ""
        figures = f"top-1 {each.top1:6.2f} %, top-5 {each.top5:6.2f} %"
        print(f"{figures}  {' + '.join(each.names)}{shares}")
    if options.output:
        write_json(options.output, describe(mixtures, options.scores, streams[0].labels))


if __name__ == "__main__":
    main()
