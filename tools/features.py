"""Features of a data set, to a file or TensorBoard: `python -m tools.features --pretrained FILE …`.

`--projector DIR` is looked at with `tensorboard --logdir DIR`, tab Projector.
"""

if __name__ == "__main__":
    from tools.signals import answer_signals

    answer_signals()

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from options.features import FeaturesOptions, parser
from tools.errors import one_line_errors

if TYPE_CHECKING:  # loads torch, which --help does without
    from tools.evaluation.subject import Downstream


def export(downstream: "Downstream", options: FeaturesOptions) -> None:
    """Write features, labels and names of one or both parts, whole or not at all.

    The file is what `part_arrays` says, with `about`, a JSON text that says what it is of.
    """
    import numpy as np  # here, so that --help needs no package

    from tools.evaluation.features import part_arrays, write_features

    wanted = options.wanted
    about = downstream.describe() | {"projections": wanted.projections}
    arrays = {"about": np.array(json.dumps(about))}
    with downstream.frozen():
        for part in wanted.parts:
            split = downstream.part(part)
            values = downstream.levels(part, wanted)
            for level, each in values.items():
                downstream.report(f"{part}_{level}: {' x '.join(map(str, each.shape))}")
            arrays |= part_arrays(part, values, split.labels, split.names)
    write_features(options.output, arrays)
    downstream.report(f"features, labels and names written to {options.output}")


def write(options: FeaturesOptions) -> None:
    """Write all that was asked for."""
    from tools.evaluation.projector import project
    from tools.evaluation.subject import Downstream

    downstream = Downstream.open(options)
    if options.output is not None:
        export(downstream, options)
    if options.projector is not None:
        project(downstream, options)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; exit status 2 for an expected error."""
    options = parser().parse(argv)
    with one_line_errors():
        write(options)


if __name__ == "__main__":
    main()
