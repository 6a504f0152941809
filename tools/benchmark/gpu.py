"""What a GPU decides: whether it computes as a CPU does, and with which candidates it is faster."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import ClassVar

import torch

from tools.benchmark.candidates import CANDIDATES
from tools.benchmark.candidates.case import Candidate, Case, Compute
from tools.benchmark.report import milliseconds
from tools.benchmark.sizes import Sizes
from tools.benchmark.timing import Side, interleave
from tools.runtime import set_precision
from tools.training.recorded import WARM_UP, Repeated, choose_recorder

TESTS = "tests/test_cuda.py"
MOST_S = 180
"""Seconds that the tests may take."""
WIN = 1.05
"""How many times as fast a candidate must be to move into the product."""
REPLAYS = 20
"""Replays of a recording in a turn, so that the wait at its end does not count."""


@dataclass(frozen=True)
class Remark:
    """What something that has no time ended with."""

    table: ClassVar[str] = "remarks"

    what: str
    result: str

    def __str__(self) -> str:
        return f"{self.what}: {self.result}"

    def cells(self) -> dict[str, str]:
        """The text by heading."""
        return asdict(self)


def tests(sizes: Sizes) -> Iterator[Remark]:
    """Compare CUDA with the CPU in a process of its own, which leaves none of its memory behind."""
    environment = os.environ | {"HICO_TEST_DEVICE": str(sizes.device)}
    command = [sys.executable, "-m", "pytest", TESTS]
    root = Path(__file__).parents[2]
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, timeout=MOST_S
        )
        said = done.stdout.strip() or done.stderr.strip() or f"exit status {done.returncode}"
    except subprocess.TimeoutExpired:
        said = f"not finished after {MOST_S} s"
    yield Remark(TESTS, said.splitlines()[-1])


@dataclass(frozen=True)
class Trial:
    """A candidate beside the product, timed in the same turns."""

    table: ClassVar[str] = "candidates"

    candidate: str
    kind: str  # of encoder
    precision: str
    product_ms: float
    candidate_ms: float

    @property
    def ratio(self) -> float:
        """How many times the product takes as long as the candidate."""
        return self.product_ms / self.candidate_ms

    @property
    def faster(self) -> str:
        """Who wins by more than five per cent."""
        if self.ratio > WIN:
            return "candidate"
        return "product" if self.ratio < 1 / WIN else "neither"

    def __str__(self) -> str:
        return f"{self.candidate}, {self.kind}, {self.precision}: ratio {self.ratio:.2f}"

    def cells(self) -> dict[str, str]:
        """The text by heading."""
        return {
            "candidate": self.candidate,
            "encoder": self.kind,
            "precision": self.precision,
            "product ms": milliseconds(self.product_ms),
            "candidate ms": milliseconds(self.candidate_ms),
            "ratio": f"{self.ratio:.2f}",
            "faster": self.faster,
        }


def trials(sizes: Sizes) -> Iterator[Trial | Remark]:
    """Time every candidate of each encoder and precision, forward and backward, with dropout.

    On a GPU both sides are recorded, as the training step is. What does not depend on the encoder
    is timed once for each precision.
    """
    done = set()
    for kind, precision in product(sizes.kinds, sizes.precisions):
        set_precision(precision, sizes.device)
        compiler = "inductor" if sizes.compile else None
        case = Case(sizes.run_of(kind, precision), sizes.device, compiler=compiler)
        for one in (one for make in CANDIDATES for one in make(case)):
            if one.every_kind or (one.name, precision) not in done:
                done.add((one.name, precision))
                yield _trial(one, kind, precision, sizes)


def _trial(one: Candidate, kind: str, precision: str, sizes: Sizes) -> Trial | Remark:
    try:
        sides = {way: side(getattr(one, way), sizes.device) for way in ("product", "candidate")}
    except (RuntimeError, NotImplementedError) as error:  # a form that this PyTorch does not have
        reason = " ".join(str(error).split())[:80]
        return Remark(f"{one.name}, {kind}, {precision}", f"failed: {reason}")
    times = interleave(sides, sizes.device, sizes.repetitions, clock=sizes.clock)
    calls = REPLAYS if sizes.device.type == "cuda" else 1
    product_ms, candidate_ms = (1e3 * times[way] / calls for way in sides)
    return Trial(one.name, kind, precision, product_ms, candidate_ms)


def side(compute: Compute, device: torch.device) -> Side:
    """Run a computation until it is recorded, where it will be, and return what runs it again."""
    recorder, how = choose_recorder("auto", device, resident=True)
    repeated = Repeated(compute, device, recorder, how)
    for _ in range(WARM_UP + 1):
        repeated()
    if recorder is None:
        return repeated

    def _replays() -> None:
        for _ in range(REPLAYS):
            repeated()

    return _replays
