"""Score a frozen encoder by its nearest training clips: `python action_retrieval.py --help`."""

if __name__ == "__main__":
    from tools.signals import answer_signals

    answer_signals()

from collections.abc import Sequence

from options.retrieval import RetrievalOptions, parser
from tools.errors import one_line_errors


def main(argv: Sequence[str] | None = None) -> None:
    """Score as the options say; exit status 2 for an expected error."""
    options = parser().parse(argv)

    with one_line_errors():
        run(options)


def run(options: RetrievalOptions) -> None:
    """Options to parts to a number, or to the clips that are like one recording."""
    from tools.evaluation.recording import list_nearest
    from tools.evaluation.retrieval import look_up, verdict
    from tools.evaluation.subject import Downstream

    downstream, data = Downstream.open(options), options.data
    if options.search.query_file is not None:
        lines = list_nearest(downstream, options)
        print(f"nearest to {options.search.query_file} with {downstream.name}")
    else:
        lines = verdict(look_up(downstream, options))
        print(f"retrieval with {downstream.name}, {data.dataset} {data.protocol}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
