"""Options of `python -m tools.benchmark`, and the works that it measures."""

from dataclasses import dataclass
from pathlib import Path

from options.groups import RunOptions
from options.parser import Parser, changed, file_path, one_of, option, words

WORKS = {
    "prepare": "tools.benchmark.prepare:rows",  # first: in a large process it takes longer
    "step": "tools.benchmark.step:rows",
    "train": "tools.benchmark.train:rows",
    "data": "tools.benchmark.data:rows",
    "load": "tools.benchmark.load:rows",
    "probe": "tools.benchmark.probe:rows",
    "knn": "tools.benchmark.knn:rows",
    "tests": "tools.benchmark.gpu:tests",
    "candidates": "tools.benchmark.gpu:trials",
}
"""The "module:function" of each work, from Sizes to lines of a table; a new one is a file and a
row."""
GROUPS = {
    "all": ("prepare", "step", "train", "data", "load", "probe", "knn"),
    "gpu": ("tests", "step", "train", "candidates"),
}
"""Several works by one name."""
DESCRIPTION = """Time each work against the plain oracle and against the machine's own floor: the
operations and bytes it cannot avoid over the rates of matrix products and copies, measured in the
same turns."""


@dataclass(frozen=True)
class BenchmarkOptions:
    """What is measured, where, and how carefully."""

    work: tuple[str, ...] = words(
        ("all",),
        read=one_of((*WORKS, *GROUPS)),
        metavar="WORK",
        help=" | ".join(WORKS) + "".join(f" | {name}: {' '.join(GROUPS[name])}" for name in GROUPS),
    )
    device: str = changed(RunOptions, "device")
    quick: bool = option(
        False, help="fewer clips and turns, for a laptop; gpu on a CPU takes a small model too"
    )
    compile: bool = option(False, help="let torch.compile compete among the candidates")
    json: Path = option(
        Path("runs/benchmark.json"), read=file_path, metavar="FILE", help="where the figures go"
    )

    @property
    def works(self) -> tuple[str, ...]:
        """Every work that was asked for, each once."""
        return tuple(dict.fromkeys(w for name in self.work for w in GROUPS.get(name, (name,))))


def parser() -> Parser[BenchmarkOptions]:
    """The command line of tools.benchmark."""
    return Parser(BenchmarkOptions, DESCRIPTION, program="python -m tools.benchmark")
