"""Score a frozen encoder by a linear classifier: `python action_classification.py --help`."""

from collections.abc import Sequence

from options.classification import ClassificationOptions, parse
from options.groups import encoder_settings
from tools.errors import one_line_errors


def main(argv: Sequence[str] | None = None) -> None:
    """Score as the options say; exit status 2 for an expected error."""
    options = parse(argv)

    with one_line_errors():
        run(options)


def run(options: ClassificationOptions) -> None:
    """Options to parts to a number."""
    from dataset.protocols import split_folder
    from tools.classification import classify
    from tools.downstream import Downstream
    from tools.probe import ProbeSettings

    if options.workers is not None:
        print("--workers is not needed: the clips lie on the device")
    given, shape = vars(options), encoder_settings(options)
    folder = split_folder(options.data_path, options.dataset, options.protocol)
    source = (options.pretrained, folder, options.stream)
    downstream = Downstream.open(*source, shape=shape, device=options.device, seed=options.seed)
    probe = classify(
        downstream,
        ProbeSettings(**{name: given[name] for name in ProbeSettings.__dataclass_fields__}),
        crop=options.probe_crop,
        **{name: given[name] for name in ("dataset", "protocol", "resume")},
    )
    print(f"linear classifier on {downstream.name}, {options.dataset} {options.protocol}")
    print(f"last  {probe.last}  <- the headline")
    print(f"best  {probe.best}  <- the published figure; the test part chose its epoch")


if __name__ == "__main__":
    main()
