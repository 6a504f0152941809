"""Show runs as one page: `python -m tools.report RUN [RUN …] [--output report.html]`."""

from collections.abc import Sequence

from options.report import ReportOptions, parser
from tools.errors import one_line_errors
from tools.files import write_whole


def make(options: ReportOptions) -> None:
    """Collect, draw and write, with a bar on a terminal."""
    from tqdm import tqdm  # here, so that --help needs no package

    from tools.report.animation import animation
    from tools.report.collect import STEPS, collect
    from tools.report.page import MOST_BYTES, render

    with tqdm(total=STEPS * len(options.runs), unit="step", leave=False, disable=None) as bar:

        def _tick(text: str) -> None:
            bar.set_description_str(text)
            bar.update()

        document = collect(options, _tick)
        page = render(document).encode()
    write_whole(options.output, lambda file: file.write(page))
    print(f"{options.output}: {len(page) / 1e6:.1f} MB; open it in any browser")
    if len(page) > MOST_BYTES:
        print(f"more than {MOST_BYTES / 1e6:.0f} MB: fewer --queries or --frames make it smaller")
    if options.animation is not None:
        picture = animation(document).encode()
        write_whole(options.animation, lambda file: file.write(picture))
        print(f"{options.animation}: {len(picture) / 1e3:.0f} kB")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; exit status 2 for an expected error."""
    options = parser().parse(argv)
    with one_line_errors():
        make(options)


if __name__ == "__main__":
    main()
