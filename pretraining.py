"""Learn the encoder from unlabelled skeletons: `python pretraining.py --help`."""

from __future__ import annotations

if __name__ == "__main__":
    from tools.signals import answer_signals

    answer_signals()

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from options.pretraining import PretrainingOptions, parse
from tools.errors import one_line_errors

if TYPE_CHECKING:
    from tools.training.trainer import Trainer


def main(argv: Sequence[str] | None = None) -> None:
    """Pre-train as the options say; exit status 2 for an expected error, 128 + n for signal n."""
    options = parse(argv)

    with one_line_errors():
        from tools.files import held  # here, so that nothing but options comes first

        with held(options.checkpoints.folder):
            trainer = build(options)
            trainer.train()
    if trainer.stopped_by is not None:
        sys.exit(128 + trainer.stopped_by)


def build(options: PretrainingOptions) -> Trainer:
    """Options to parts: the split, the model and what trains it, in a folder of its own."""
    from dataset.arrays import load_arrays  # torch loads only once the options are right
    from dataset.batches import PretrainingBatches
    from dataset.packed import PackedSplit
    from moco import HiCo
    from tools import runtime
    from tools.training import record
    from tools.training.trainer import Trainer

    data = options.data
    device = runtime.pick_device(options.run.device)
    runtime.set_precision(options.speed.precision, device)
    path = record.starting_point(options.checkpoints)
    arrays = load_arrays(data.folder, "train")
    split = PackedSplit.from_arrays(arrays, device)
    seed = runtime.seed_everything(options.run.seed)
    generator = runtime.data_generator(seed)
    size = options.training.batch_size
    batches = PretrainingBatches(split, data.stream, size, generator, data.augmentation)
    model = HiCo(options.encoder, options.contrast).to(device)
    trainer = Trainer(model, batches, options)
    trainer.record = record.describe(options, arrays, seed, device)
    resumed = trainer.resume(path) if path else ""
    if options.run.workers is not None:
        print("--workers is not needed: batches are made on the device")
    said = f"{len(split)} clips of {data.folder}, {model.config.kind} on {device}"
    print(f"{said}, seed {trainer.record['seed']}")
    print(f"{options.speed.precision}; steps: {trainer.steps.how}")
    if resumed:
        print(resumed)
    return trainer


if __name__ == "__main__":
    main()
