"""Several processes that train one model together: who is who, and what they tell one another.

Each of N processes computes its B / N clips of every batch of B. All of them hold the same weights
and queues, to the last bit. A process alone touches no torch.distributed: every method then gives
back what it was given.

Axes: N processes, numbered by their rank; B clips a batch, of all processes together.
"""

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

Made = TypeVar("Made")

STARTING = timedelta(minutes=10)
"""How long the processes wait for one another until all have read the data."""
ANSWERING = timedelta(seconds=50)
"""How long they wait within training, where a process does nothing longer than write a file."""
NAMES = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),  # of torchrun
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),  # of srun, not of sbatch
)
"""Environment variables that number a process: among all, how many there are, on its machine."""
ENDED = "ended"
"""Where the first process that fails leaves its reason for the others."""
READING = timedelta(seconds=5)
"""How long rank 0, which may keep that place, stays for the others to read the reason."""


@dataclass
class Ranks:
    """This process among those that train together.

    Attributes:
        rank: its number, from 0; 0 writes the files.
        size: N, how many processes there are.
        local: its number on its machine, from 0.
    """

    rank: int = 0
    size: int = 1
    local: int = 0
    _group: dist.ProcessGroup | None = field(default=None, repr=False, compare=False)
    _store: dist.Store | None = field(default=None, repr=False, compare=False)

    def device(self, wanted: torch.device) -> torch.device:
        """Choose this process' own device of the wanted type.

        Raises:
            ValueError: one GPU for all of them, or more processes than GPUs on a machine.
        """
        if self.size == 1 or wanted.type == "cpu":
            return wanted
        if wanted.index is not None:
            raise ValueError(f"--device {wanted}: {self.size} processes take a GPU each; give cuda")
        count = torch.cuda.device_count()
        if self.local >= count > 1:  # SLURM may show each process one GPU, its own
            raise ValueError(f"process {self.local} of a machine of {count} GPUs; start {count}")
        device = torch.device("cuda", self.local % count)
        torch.cuda.set_device(device)
        return device

    def rows(self, batch_size: int) -> slice:
        """Which clips of a batch of B are this process'.

        Raises:
            ValueError: a batch that cannot be shared out equally.
        """
        if batch_size % self.size:
            raise ValueError(
                f"--batch-size {batch_size} is the batch of all {self.size} processes together "
                f"and must be a multiple of {self.size}"
            )
        share = batch_size // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def first(self, make: Callable[[], Made]) -> Made:
        """Return what rank 0 makes, on every rank; the others do not call `make`."""
        if self.size == 1:
            return make()
        made = [make() if self.rank == 0 else None]
        with self._together():
            dist.broadcast_object_list(made, src=0, device=torch.device("cpu"))
        return made[0]

    def share(self, module: nn.Module) -> None:
        """Give a module rank 0's parameters and buffers, in place."""
        if self.size == 1:
            return
        with self._together():
            for tensor in (*module.parameters(), *module.buffers()):
                dist.broadcast(tensor.detach(), src=0)

    def gather(self, rows: Tensor) -> Tensor:
        """Bring the rows of all processes together, in rank order.

        Args:
            rows: (B / N, …), without gradient.

        Returns:
            (B, …), the same on every rank.
        """
        if self.size == 1:
            return rows
        everyone = rows.new_empty(self.size * len(rows), *rows.shape[1:])
        with self._together():
            parts = list(everyone.chunk(self.size))
            dist.all_gather(parts, rows.contiguous(), group=self._group)
        return everyone

    def mean(self, values: Tensor) -> Tensor:
        """Average over the processes: any shape to the same shape, the same on every rank."""
        if self.size == 1:
            return values
        total = values.clone()
        with self._together():
            dist.all_reduce(total, group=self._group)
        return total.div_(self.size)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Put the gradient of the whole batch in place of that of each share.

        The loss is a mean over clips and the shares are equal, so the mean of their gradients is
        exactly the gradient of the batch.
        """
        if self.size == 1:
            return
        gradients = [each.grad for each in parameters if each.grad is not None]
        flat = self.mean(torch.cat([each.flatten() for each in gradients]))
        sizes = [each.numel() for each in gradients]
        for gradient, averaged in zip(gradients, flat.split(sizes), strict=True):
            gradient.copy_(averaged.view_as(gradient))

    def agree(self, signal_number: int | None) -> int | None:
        """Return the largest signal number that any rank was sent; None where none was.

        Goes from host to host, so that no GPU is waited for.
        """
        if self.size == 1:
            return signal_number
        asked = torch.tensor(signal_number or 0)
        with self._together():
            dist.all_reduce(asked, dist.ReduceOp.MAX, group=self._group)
        return int(asked) or None

    def seed_dropout(self, seed: int, step: int) -> None:
        """Seed torch's global generators, so that each rank and step drops out other elements.

        The step counts from the run's beginning. A process alone goes on with the draws it has.
        """
        if self.size > 1:
            text = f"{seed} {self.rank} {step}".encode()
            digest = hashlib.blake2b(text, digest_size=8).digest()
            torch.manual_seed(int.from_bytes(digest, "little"))

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Within, an error means that another process is gone: it becomes one line with why."""
        try:
            yield
        except RuntimeError as error:
            reason = self._first_reason(_in_words(error))
            raise ConnectionError(
                f"rank {self.rank} stops with the run: {reason}; go on with --resume"
            ) from error

    def _first_reason(self, reason: str) -> str:
        """Leave a reason for the others where none has yet; returns the one that is there."""
        with suppress(RuntimeError):  # the store may have gone with rank 0
            if self._store is not None:
                return self._store.compare_set(ENDED, "", reason).decode()
        return reason

    def _leave(self) -> None:
        """Let go of the others: whoever still waits for this process is told of an error."""
        self._group = self._store = None  # their threads may not live until the process exits
        if dist.is_initialized():
            dist.destroy_process_group()

    def _leave_with(self, reason: str) -> None:
        """Leave after a fault. Rank 0, which may keep the reason, stays until all have read it."""
        self._first_reason(reason)
        store = self._store
        self._leave()
        with suppress(RuntimeError):
            if store is not None:
                store.set(f"{ENDED} {self.rank}", "")
                if self.rank == 0:
                    store.wait([f"{ENDED} {rank}" for rank in range(1, self.size)], READING)


def _in_words(error: RuntimeError) -> str:
    """What an error of torch.distributed says of a process that left no reason."""
    text = " ".join(str(error).split())
    if "timed out" in text.lower():
        return "a process does not answer"
    if "connection" in text.lower():
        return "a process was killed, or its machine is gone"
    return text


ALONE = Ranks()
"""A process that trains by itself."""


def of_environment(environment: Mapping[str, str] = os.environ) -> Ranks:
    """Say who torchrun or srun made this process; ALONE where neither started it."""
    for names in NAMES:
        if all(name in environment for name in names):
            return Ranks(*(int(environment[name]) for name in names))
    return ALONE


def refuse_many() -> None:
    """Refuse to be one of several processes.

    Raises:
        ValueError: torchrun or srun started several.
    """
    size = of_environment().size
    if size > 1:
        raise ValueError(f"{size} processes were started for what takes one; leave torchrun out")


@contextmanager
def joined(place: Ranks | None = None, meeting: str = "env://") -> Iterator[Ranks]:
    """Meet the other processes, work together, leave; only rank 0 prints to stdout.

    Args:
        place: None is what the environment says.
        meeting: where they meet; env:// reads MASTER_ADDR and MASTER_PORT.

    Raises:
        ConnectionError: another process ended or does not answer.
    """
    ranks = of_environment() if place is None else place
    if ranks.size == 1:
        yield ranks
        return
    # Host tensors go through gloo, those on GPUs through NCCL.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        with ranks._together():
            store, rank, size = next(rendezvous(meeting, ranks.rank, ranks.size, timeout=STARTING))
            dist.init_process_group(
                backend, store=store, rank=rank, world_size=size, timeout=STARTING
            )
            ranks._group, ranks._store = dist.new_group(timeout=ANSWERING), store
        with redirect_stdout(sys.stdout if rank == 0 else None):  # one line of each is enough
            print(f"{size} processes share out each batch")
            yield ranks
            ranks.agree(None)  # who exits before rank 0 has written gets it killed by its starter
    except Exception as error:
        ranks._leave_with(f"rank {ranks.rank}: {' '.join(str(error).split())}")
        raise
    finally:
        ranks._leave()
