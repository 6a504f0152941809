"""The sizes at which works are measured: the published ones, or few enough for a laptop."""

import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from moco.config import ContrastConfig, encoder_config, read_encoder_config
from options.benchmark import BenchmarkOptions
from options.groups import TrainingOptions
from options.pretraining import PretrainingOptions, SpeedOptions
from tools.benchmark.timing import Clock


@dataclass(frozen=True)
class Sizes:
    """What is measured, and how often."""

    device: torch.device  # where ours and the plain model compute
    run: PretrainingOptions = field(default_factory=PretrainingOptions)  # whose step is measured
    kinds: tuple[str, ...] = ("Transformer", "GRU", "LSTM")  # encoders of the step
    precisions: tuple[str, ...] = ("fp32", "bf16")
    graphs: tuple[str, ...] = ("off",)  # "off" launches kernels one by one, "auto" records them
    # With its views, which are one part in a hundred on a CPU, one step will do there.
    train_kinds: tuple[str, ...] = ("Transformer",)
    train_precisions: tuple[str, ...] = ("fp32",)
    train_clips: int = 512  # in the split that is trained on
    train_steps: int = 4  # in a turn
    workers: int = 2  # processes that make the oracle's views
    repetitions: int = 7  # timed turns at least
    data_clips: int = 512  # in the split that views are drawn from
    load_clips: int = 4096  # in the file that is loaded, 0.18 MB each
    probe_clips: tuple[int, int] = (1024, 512)  # to train on, to test on
    probe_epochs: int = 80
    knn_clips: tuple[int, int] = (20_000, 8_000)  # to find, to look up: half of NTU-60
    raw_performers: int = 6  # whose 48 files each are prepared; 3 or more fill every part
    plain_files: int = 16  # of them, which the oracle prepares
    compile: bool = False  # whether torch.compile is a candidate
    clock: Clock = time.perf_counter

    @property
    def batch(self) -> int:
        """Clips in a batch of pre-training."""
        return self.run.training.batch_size

    def run_of(self, kind: str, precision: str = "fp32", graph: str = "off") -> PretrainingOptions:
        """The same run with another encoder of the same sizes, at another speed."""
        encoder = read_encoder_config(asdict(self.run.encoder) | {"kind": kind})
        return replace(self.run, encoder=encoder, speed=SpeedOptions(precision, graph))

    @property
    def few_turns(self) -> "Sizes":
        """The same with three turns at most, enough for a work that takes seconds."""
        return replace(self, repetitions=min(3, self.repetitions))


def choose(options: BenchmarkOptions, device: torch.device) -> Sizes:
    """Sizes for a careful run, or for one that a laptop ends in a few minutes.

    Args:
        options: `quick` takes fewer clips and turns; the model keeps its full size, but for works
            that are a GPU's.
        device: where to compute.
    """
    sizes = Sizes(device, compile=options.compile)
    if device.type == "cuda":
        sizes = replace(sizes, **ON_A_GPU)
    if options.quick:
        sizes = replace(sizes, **QUICK)
    if options.quick and device.type == "cpu" and "candidates" in options.works:
        encoder, contrast = encoder_config(hidden_size=64), ContrastConfig(queue_size=256)
        training = TrainingOptions(batch_size=16)
        small = PretrainingOptions(encoder=encoder, contrast=contrast, training=training)
        sizes = replace(sizes, run=small)
    return sizes


ON_A_GPU: dict[str, Any] = {
    "precisions": ("fp32", "tf32", "bf16"),
    "graphs": ("off", "auto"),
    "train_kinds": Sizes.kinds,
    "train_precisions": ("tf32", "bf16"),
    "train_clips": 4096,
    "train_steps": 64,
    "workers": 16,
    "knn_clips": (40_091, 16_487),  # of NTU RGB+D 60, cross-subject
}
QUICK: dict[str, Any] = {
    "repetitions": 3,
    "train_clips": 256,
    "train_steps": 2,
    "data_clips": 128,
    "load_clips": 1024,
    "probe_clips": (256, 128),
    "knn_clips": (6_000, 2_400),
    "raw_performers": 3,
    "plain_files": 8,
}
