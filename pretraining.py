"""Learn the encoder from unlabelled skeletons: `python pretraining.py --help`."""

import sys
from collections.abc import Sequence

from options.pretraining import PretrainingOptions, parse


def main(argv: Sequence[str] | None = None) -> None:
    """Pre-train as the options say; exit status 2 for an expected error, 128 + n for signal n."""
    options = parse(argv)
    from tools.runtime import one_line_errors  # torch loads only once the options are right

    with one_line_errors():
        run(options)


def run(options: PretrainingOptions) -> None:
    """Options to parts, and go."""
    from dataset.arrays import load_arrays
    from dataset.batches import PackedSplit
    from dataset.protocols import split_folder
    from dataset.views import PretrainingBatches
    from moco import EncoderConfig, HiCo
    from tools import checkpoint, runtime
    from tools.log import RunLog
    from tools.trainer import Plan, Trainer

    device = runtime.pick_device(options.device)
    folder = split_folder(options.data_path, options.dataset, options.protocol)
    arrays = load_arrays(folder, "train")
    resume = checkpoint.find(options.resume) if options.resume else None
    seed = runtime.seed_everything(options.seed)
    split = PackedSplit.from_arrays(arrays, device)
    generator = runtime.data_generator(seed)
    batches = PretrainingBatches(split, options.stream, options.batch_size, generator)
    sizes = ("hidden_size", "num_heads", "num_layers", "granularity")
    config = EncoderConfig(options.encoder, **{name: getattr(options, name) for name in sizes})
    contrast = (options.hico_dim, options.hico_k, options.hico_m, options.hico_t)
    model = HiCo(config, *contrast, options.queue_wrap).to(device)
    same = ("epochs", "schedule", "momentum", "weight_decay", "print_freq", "save_freq")
    plan = Plan(
        learning_rate=options.lr,
        cosine=options.cos,
        start_epoch=options.start_epoch,
        **{name: getattr(options, name) for name in same},
    )
    data = {
        name: getattr(options, name) for name in ("dataset", "protocol", "stream", "batch_size")
    }
    trainer = Trainer(model, batches, plan, options.checkpoint_path, data)
    if options.workers is not None:
        print("--workers is not needed: batches are made on the device")
    print(f"{len(split)} clips of {folder}, {config.kind} on {device}, seed {seed}")
    if resume:
        print(trainer.resume(resume))
    log = RunLog(options.checkpoint_path, len(batches), options.epochs, trainer.progress.step)
    try:
        trainer.run(log)
    finally:
        log.close()
    if trainer.stopped_by is not None:
        sys.exit(128 + trainer.stopped_by)


if __name__ == "__main__":
    main()
