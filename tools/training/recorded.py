"""Work that is the same every time, recorded once in a CUDA graph and replayed.

At batch 64 a GPU computes a step's kernels faster than the host can launch them one by one. A
graph launches them all at once, so the step takes as long as its arithmetic.
"""

import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import torch
from torch import Tensor

from tools.runtime import random_states, restore_random

Work = Callable[[], Tensor]

WARM_UP = 3
"""Plain runs before the recording: libraries set themselves up, the optimiser makes its state."""


class Recorder(Protocol):
    """What can record a work."""

    def warm(self, work: Work) -> Tensor:
        """Run the work plainly, as it has to be run before it is recorded."""

    def record(self, work: Work) -> tuple[Callable[[], None], Tensor]:
        """Record the work without effect.

        Returns:
            What replays it, and where its answer then lies.

        Raises:
            RuntimeError: the work waits for the host, or does what cannot be recorded.
        """


class CudaGraph:
    """Records on one CUDA device, which need not be the current one."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._side = torch.cuda.Stream(device)

    def warm(self, work: Work) -> Tensor:
        """Run beside the default stream, on which nothing that is recorded may depend."""
        current = torch.cuda.current_stream(self._device)
        self._side.wait_stream(current)
        with torch.cuda.stream(self._side):
            answer = work()
        current.wait_stream(self._side)
        return answer

    def record(self, work: Work) -> tuple[Callable[[], None], Tensor]:
        """See Recorder."""
        graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
        current = torch.cuda.current_stream(self._device)
        # The outer stream is for a recording that fails: it would leave its own the current one.
        try:
            with (
                torch.cuda.device(self._device),
                torch.cuda.stream(current),
                torch.cuda.graph(graph, pool=pool, stream=self._side),
            ):
                answer = work()
        except RuntimeError:
            self._let_go(pool)
            # The state that dropout draws from would take itself to be recorded for ever.
            generator = torch.cuda.default_generators[self._side.device.index]
            generator.graphsafe_set_state(generator.clone_state())
            raise
        return graph.replay, answer

    def _let_go(self, pool: object) -> None:
        """End what a failed recording began in the allocator, which older torch leaves open."""
        end = getattr(torch._C, "_cuda_endAllocateToPool", None)
        release = getattr(torch._C, "_cuda_releasePool", None)
        with suppress(RuntimeError):  # torch has ended it itself
            if end is not None and release is not None:
                end(self._side.device.index, pool)
                release(self._side.device.index, pool)


class Repeated:
    """A work that is run again and again on the same tensors.

    It may read only what lies on the device and changes there in place: what the host decides is
    fixed by the recording. Its answer is overwritten by the next run.

    Attributes:
        how: what is done and why, for the reader of a log.
    """

    def __init__(
        self, work: Work, device: torch.device, recorder: Recorder | None, how: str
    ) -> None:
        """Nothing is run yet.

        Args:
            work: waits for nothing on the host.
            device: where it runs.
            recorder: records it after WARM_UP runs; None runs it plainly for ever.
            how: what is going to be done and why.
        """
        self._work, self._device, self._recorder, self.how = work, device, recorder, how
        self._runs = 0
        self._recorded: tuple[Callable[[], None], Tensor] | None = None

    def __call__(self) -> Tensor:
        """Run once more."""
        if self._recorder is not None and self._runs == WARM_UP:
            self._record(self._recorder)
        self._runs += 1
        if self._recorded is not None:
            replay, answer = self._recorded
            replay()
            return answer
        return self._work() if self._recorder is None else self._recorder.warm(self._work)

    def _record(self, recorder: Recorder) -> None:
        """Record, or say why not and go on plainly."""
        random = random_states(self._device)
        gc.collect()  # an older run's graph that is found to be garbage ends a recording
        try:
            self._recorded = recorder.record(self._work)
        except RuntimeError as error:
            restore_random(random, self._device)
            reason = " ".join(str(error).split())[:160]
            self._recorder, self.how = None, f"plain, recording failed: {reason}"
            print(f"steps: {self.how}", file=sys.stderr, flush=True)


def choose_recorder(
    wanted: str, device: torch.device, resident: bool, processes: int = 1
) -> tuple[Recorder | None, str]:
    """Choose between recorded and plain runs.

    Args:
        wanted: "auto" records where it can, "off" never.
        device: where the work runs.
        resident: whether all that the work reads lies there.
        processes: how many train one model.

    Returns:
        A recorder or None, and what was chosen and why.
    """
    if wanted == "off":
        return None, "plain, by --graph off"
    if device.type != "cuda":
        return None, f"plain, {device.type} needs no graph"
    if processes > 1:
        return None, f"plain, {processes} processes meet within each"
    if not resident:
        return None, "plain, the clips do not fit the GPU and come from the host"
    return CudaGraph(device), f"a CUDA graph, after {WARM_UP} plain ones"
