"""Score a frozen encoder by its nearest training clips: `python action_retrieval.py --help`."""

from collections.abc import Sequence

from options.groups import encoder_settings
from options.retrieval import RetrievalOptions, parse
from tools.errors import one_line_errors


def main(argv: Sequence[str] | None = None) -> None:
    """Score as the options say; exit status 2 for an expected error."""
    options = parse(argv)

    with one_line_errors():
        run(options)


def run(options: RetrievalOptions) -> None:
    """Options to parts to a number."""
    from dataset.protocols import split_folder
    from tools.downstream import Downstream
    from tools.knn import retrieve

    if options.workers is not None:
        print("--workers is not needed: the clips lie on the device")
    folder = split_folder(options.data_path, options.dataset, options.protocol)
    source = (options.pretrained, folder, options.stream)
    shape, k = encoder_settings(options), options.knn_neighbours
    downstream = Downstream.open(*source, shape=shape, device=options.device, seed=options.seed)
    with downstream.frozen():
        batch = options.batch_size
        train, test = (downstream.features(part, batch_size=batch) for part in ("train", "test"))
        if options.save_features:
            downstream.save(options.save_features, train, test)
        found = retrieve(train, downstream.train.labels, test, downstream.test.labels, k)
    print(f"retrieval with {downstream.name}, {options.dataset} {options.protocol}")
    print(f"KNN-{k}  top-1 {found.top1:.2f} %  <- the published figure")
    precision = found.mean_average_precision
    print(f"extras top-5 {found.top5:.2f} %, mean average precision {precision:.2f} %")


if __name__ == "__main__":
    main()
