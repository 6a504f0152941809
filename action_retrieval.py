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
    """Options to parts to a number, or to the clips that are like one recording."""
    from dataset.protocols import split_folder
    from tools.evaluation.retrieval import Search, list_nearest, look_up, verdict
    from tools.evaluation.subject import Downstream

    if options.workers is not None:
        print("--workers is not needed: the clips lie on the device")
    folder = split_folder(options.data_path, options.dataset, options.protocol)
    source, shape = (options.pretrained, folder, options.stream), encoder_settings(options)
    downstream = Downstream.open(*source, shape=shape, device=options.device, seed=options.seed)
    search = Search(
        *(options.dataset, options.protocol, options.knn_neighbours),
        *(options.gallery, options.query, options.batch_size),
        *(options.save_features, options.output_path, vars(options)),
    )
    if options.query_file is not None:
        lines = list_nearest(downstream, search, folder, options.query_file)
        print(f"nearest to {options.query_file} with {downstream.name}")
    else:
        lines = verdict(look_up(downstream, search))
        print(f"retrieval with {downstream.name}, {options.dataset} {options.protocol}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
