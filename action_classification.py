"""Score an encoder by a classifier on it: `python action_classification.py --help`."""

if __name__ == "__main__":
    from tools.signals import answer_signals

    answer_signals()

from collections.abc import Sequence

from options.classification import ClassificationOptions, parser
from tools.errors import one_line_errors

TRAINED = {"linear": "linear classifier on", "finetune": "fine-tuned", "supervised": "trained"}


def main(argv: Sequence[str] | None = None) -> None:
    """Score as the options say; exit status 2 for an expected error, 128 + n for signal n."""
    options = parser().parse(argv)

    with one_line_errors():
        run(options)


def run(options: ClassificationOptions) -> None:
    """Options to parts to a number."""
    from tools.evaluation.classification import classify, verdict
    from tools.evaluation.subject import Downstream

    downstream, data = Downstream.open(options), options.data
    results = classify(downstream, options)
    print(f"{TRAINED[options.mode]} {downstream.name}, {data.dataset} {data.protocol}")
    print("\n".join(verdict(results)))


if __name__ == "__main__":
    main()
