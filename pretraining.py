"""Learn the encoder from unlabelled skeletons: `python pretraining.py --help`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from options.pretraining import PretrainingOptions, parse
from tools.errors import one_line_errors

if TYPE_CHECKING:
    from tools.training.ranks import Ranks
    from tools.training.trainer import Trainer


def main(argv: Sequence[str] | None = None) -> None:
    """Pre-train as the options say; exit status 2 for an expected error, 128 + n for signal n."""
    options = parse(argv)

    with one_line_errors():
        from tools.training.ranks import joined  # torch loads only once the options are right

        with joined() as ranks:
            trainer = build(options, ranks)
            log = trainer.open_log()
            try:
                trainer.run(log)
            finally:
                log.close()
    if trainer.stopped_by is not None:
        sys.exit(128 + trainer.stopped_by)


def build(options: PretrainingOptions, ranks: Ranks) -> Trainer:
    """Options to parts: the split, the model and what trains it."""
    from dataset.arrays import load_arrays
    from dataset.batches import PretrainingBatches
    from dataset.packed import PackedSplit
    from moco import HiCo
    from tools import checkpoint, runtime
    from tools.training.trainer import Trainer

    data, resume = options.data, options.checkpoints.resume
    device = ranks.device(runtime.pick_device(options.run.device))
    runtime.set_precision(options.speed.precision, device)
    path = ranks.first(lambda: checkpoint.find(resume)) if resume else None
    split = PackedSplit.from_arrays(load_arrays(data.folder, "train"), device)
    seed = ranks.first(lambda: runtime.seed_everything(options.run.seed))
    batches = PretrainingBatches(
        split,
        data.stream,
        batch_size=options.training.batch_size,
        generator=runtime.data_generator(seed),
        augmentation=data.augmentation,
        rows=ranks.rows(options.training.batch_size),
    )
    model = HiCo(options.encoder, options.contrast).to(device)
    trainer = Trainer(model, batches, options, ranks)
    if options.run.workers is not None:
        print("--workers is not needed: batches are made on the device")
    print(f"{len(split)} clips of {data.folder}, {model.config.kind} on {device}, seed {seed}")
    print(f"{options.speed.precision}; steps: {trainer.steps.how}")
    if path:
        print(trainer.resume(path))
    return trainer


if __name__ == "__main__":
    main()
