"""Learn the encoder from unlabelled skeletons: `python pretraining.py --help`."""

from __future__ import annotations

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
    from tools.training.log import RunLog  # torch loads only once the options are right

    with one_line_errors():
        trainer = build(options)
        steps, done = len(trainer.batches), trainer.progress.step
        log = RunLog(options.checkpoint_path, steps, options.epochs, done)
        try:
            trainer.run(log)
        finally:
            log.close()
    if trainer.stopped_by is not None:
        sys.exit(128 + trainer.stopped_by)


def build(options: PretrainingOptions) -> Trainer:
    """Options to parts: the split, the model and what trains it."""
    from dataset.arrays import load_arrays
    from dataset.batches import PretrainingBatches
    from dataset.packed import PackedSplit
    from dataset.protocols import split_folder
    from moco import EncoderConfig, HiCo
    from tools import checkpoint, runtime
    from tools.training.trainer import Plan, Trainer

    given = vars(options)
    device = runtime.pick_device(options.device)
    runtime.set_precision(options.precision, device)
    folder = split_folder(options.data_path, options.dataset, options.protocol)
    resume = checkpoint.find(options.resume) if options.resume else None
    split = PackedSplit.from_arrays(load_arrays(folder, "train"), device)
    seed = runtime.seed_everything(options.seed)
    generator = runtime.data_generator(seed)
    batches = PretrainingBatches(split, options.stream, options.batch_size, generator)
    sizes = ("hidden_size", "num_heads", "num_layers", "granularity")
    config = EncoderConfig(options.encoder, **{name: given[name] for name in sizes})
    contrast = (options.hico_dim, options.hico_k, options.hico_m, options.hico_t)
    model = HiCo(config, *contrast, options.queue_wrap).to(device)
    plan = Plan(**{name: given[name] for name in Plan.__dataclass_fields__})
    data = {name: given[name] for name in ("dataset", "protocol", "stream", "batch_size")}
    trainer = Trainer(model, batches, plan, options.checkpoint_path, data)
    if options.workers is not None:
        print("--workers is not needed: batches are made on the device")
    print(f"{len(split)} clips of {folder}, {config.kind} on {device}, seed {seed}")
    print(f"{options.precision}; steps: {trainer.steps.how}")
    if resume:
        print(trainer.resume(resume))
    return trainer


if __name__ == "__main__":
    main()
