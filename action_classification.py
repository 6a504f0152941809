"""Score an encoder by a classifier on it: `python action_classification.py --help`."""

from collections.abc import Sequence

from options.classification import ClassificationOptions, parse
from options.groups import encoder_settings
from tools.errors import one_line_errors


def main(argv: Sequence[str] | None = None) -> None:
    """Score as the options say; exit status 2 for an expected error, 128 + n for signal n."""
    options = parse(argv)

    with one_line_errors():
        run(options)


def run(options: ClassificationOptions) -> None:
    """Options to parts to a number."""
    from dataset.protocols import split_folder
    from tools.evaluation.classification import classify
    from tools.evaluation.finetune import FinetuneSettings
    from tools.evaluation.probe import ProbeSettings
    from tools.evaluation.runs import Task, verdict
    from tools.evaluation.subject import Downstream

    if options.workers is not None:
        print("--workers is not needed: the clips lie on the device")
    given, shape = vars(options), encoder_settings(options)
    folder = split_folder(options.data_path, options.dataset, options.protocol)
    source = (options.pretrained, folder, options.stream)
    downstream = Downstream.open(*source, shape=shape, device=options.device, seed=options.seed)
    kind = ProbeSettings if options.mode == "linear" else FinetuneSettings
    settings = kind(**{name: given[name] for name in kind.__dataclass_fields__})
    draw = {"fraction": options.label_fraction, "subset": options.subset, "runs": options.runs}
    files = {"resume": options.resume, "output": options.output_path, "options": given}
    what = (options.dataset, options.protocol, options.mode, options.probe_crop)
    outcomes = classify(downstream, Task(*what, **draw, **files), settings)
    trained = {"linear": "linear classifier on", "finetune": "fine-tuned", "supervised": "trained"}
    print(f"{trained[options.mode]} {downstream.name}, {options.dataset} {options.protocol}")
    print("\n".join(verdict(outcomes, options.mode)))


if __name__ == "__main__":
    main()
