"""Learn the encoder from unlabelled skeletons: `python pretraining.py --help`."""

from __future__ import annotations

if __name__ == "__main__":
    from tools.signals import answer_signals

    answer_signals()

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from options.pretraining import PretrainingOptions, parser
from tools.errors import one_line_errors

if TYPE_CHECKING:
    from tools.training.ranks import Ranks
    from tools.training.trainer import Trainer


def main(argv: Sequence[str] | None = None) -> None:
    """Pre-train as the options say; exit status 2 for an expected error, 128 + n for signal n."""
    options = parser().parse(argv)

    with one_line_errors():
        from tools.files import held  # here, so that nothing but options comes first
        from tools.training.ranks import joined

        with joined() as ranks, held(options.checkpoints.folder, wanted=ranks.rank == 0):
            trainer = build(options, ranks)
            trainer.train()
    if trainer.stopped_by is not None:
        sys.exit(128 + trainer.stopped_by)


def build(options: PretrainingOptions, ranks: Ranks) -> Trainer:
    """Options to parts: the split, the model and what trains it, in a folder of its own."""
    from dataset.arrays import load_arrays
    from dataset.batches import PretrainingBatches
    from dataset.packed import PackedSplit
    from moco import HiCo
    from tools import runtime
    from tools.training import record
    from tools.training.trainer import Trainer

    data, size = options.data, options.training.batch_size
    device = ranks.device(runtime.pick_device(options.run.device))
    runtime.set_precision(options.speed.precision, device)
    path = ranks.first(lambda: record.starting_point(options.checkpoints))
    arrays = load_arrays(data.folder, "train", origin=data.origin)
    split = PackedSplit.from_arrays(arrays, device)
    seed = ranks.first(lambda: runtime.seed_everything(options.run.seed))
    draws, rows = runtime.data_generator(seed), ranks.rows(size)
    batches = PretrainingBatches(split, data.stream, size, draws, data.augmentation, rows=rows)
    model = HiCo(options.encoder, options.contrast).to(device)
    trainer = Trainer(model, batches, options, ranks)
    trainer.record = ranks.first(lambda: record.describe(options, arrays, seed, device, ranks.size))
    more = [trainer.resume(path)] if path else []
    if options.run.workers is not None:
        more.append("--workers is not needed: batches are made on the device")
    said = f"{len(split)} clips of {data.folder}, {model.config.kind} on {device}"
    print(f"{said}, seed {trainer.record['seed']}")
    more.insert(0, f"{options.speed.precision}; steps: {trainer.steps.how}")
    print(split.source["from"], *more, sep="\n")
    return trainer


if __name__ == "__main__":
    main()
