"""N processes give the losses of one, hold the same queues, and end together."""

import os
import socket
import threading
from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

from moco import HiCo, Views
from moco.config import ContrastConfig, encoder_config
from moco.heads import Levels, pack, unpack
from tests.support.waiting import wait_until
from tools.training import ranks as room
from tools.training.ranks import ALONE, Ranks, joined, of_environment

BATCH, STEPS = 8, {torch.float32: 10, torch.float64: 100}
KINDS = {"GRU": {}, "LSTM": {}, "Transformer": {"num_heads": 2, "dropout": 0.0}}
CASES = [(kind, precision) for kind in KINDS for precision in STEPS]


def meeting(folder):
    return f"file://{folder / 'meeting'}"


def apart(work, size, folder, *more):
    """Run `work(ranks, folder, *more)` in `size` processes; what each returned, by rank."""
    folder.mkdir(exist_ok=True)
    multiprocessing.spawn(_child, (work, size, folder, *more), nprocs=size)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in range(size)]


def _child(rank, work, size, folder, *more):
    torch.set_num_threads(1)
    with joined(Ranks(rank, size), meeting(folder)) as ranks:
        answer = work(ranks, folder, *more)
    torch.save(answer, folder / f"rank{rank}.pt")


def train(ranks, kind, precision):
    """Losses of each step, (steps, 6), and the model; every rank draws its own first weights."""
    torch.manual_seed(ranks.rank)
    config = encoder_config(kind, hidden_size=8, granularity=2, **KINDS[kind])
    model = HiCo(config, ContrastConfig(projection_size=4, queue_size=2 * BATCH)).to(precision)
    ranks.share(model)
    model.gather = ranks.gather
    optimizer = torch.optim.SGD(model.query.parameters(), 0.05, momentum=0.9, weight_decay=1e-4)
    generator = torch.Generator().manual_seed(1)
    rows, losses = ranks.rows(BATCH), []
    for _ in range(STEPS[precision]):
        views = [draw_views(generator, precision, rows) for _ in range(2)]
        model.update_momentum()
        found, keys = model(*views)
        model.enqueue(keys)
        optimizer.zero_grad()
        found.total.backward()
        ranks.average_gradients(model.query.parameters())
        optimizer.step()
        losses.append(torch.stack([each.detach().to(precision) for each in found]))
    return ranks.mean(torch.stack(losses)), model


def draw_views(generator, precision, rows):
    draw = [torch.randn(BATCH, *size, generator=generator) for size in ((12, 150), (10, 192))]
    return Views(*(each[rows].to(precision) for each in draw))


def every_case(ranks, folder):
    answers = {}
    for case in CASES:
        losses, model = train(ranks, *case)
        answers[case] = losses, model.state_dict()
    return answers


@pytest.fixture(scope="module")
def one():
    return every_case(ALONE, None)


@pytest.fixture(scope="module", params=[2, 4])
def many(request, tmp_path_factory):
    return apart(every_case, request.param, tmp_path_factory.mktemp("many"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_many_processes_give_the_losses_of_one(one, many, case):
    expected, _ = one[case]
    near = {torch.float32: 1e-6, torch.float64: 1e-12}[case[1]]
    assert len(expected.unique(dim=0)) == len(expected)  # it learns
    for each in many:
        torch.testing.assert_close(each[case][0], expected, rtol=near, atol=0)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_all_ranks_hold_the_same_weights_and_queues_to_the_last_bit(one, many, case):
    first = many[0][case][1]
    assert sum("queues" in name for name in first) == 10  # five rings and their pointers
    for each in many[1:]:
        for name, tensor in each[case][1].items():
            assert torch.equal(tensor, first[name]), name
    for name, tensor in one[case][1].items():
        near = {torch.float32: 1e-4, torch.float64: 1e-11}[case[1]]
        torch.testing.assert_close(first[name], tensor, rtol=near, atol=near, msg=name)


def small_things(ranks, folder):
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.zeros(2, 3))
    parameter.grad = torch.full((2, 3), float(ranks.rank))
    unused = torch.nn.Parameter(torch.zeros(1))
    ranks.average_gradients([unused, parameter])
    ranks.seed_dropout(5, 7)
    dropped = torch.rand(4)
    ranks.seed_dropout(5, 8)
    return SimpleNamespace(
        rows=ranks.gather(torch.full((2, 1), ranks.rank)).flatten().tolist(),
        gradient=parameter.grad,
        first=ranks.first(lambda: {"from": ranks.rank, "tensor": torch.arange(3)}),
        mean=ranks.mean(torch.tensor([ranks.rank, float("nan") if ranks.rank else 0.0])),
        asked=[ranks.agree(15 if ranks.rank == 1 else None), ranks.agree(None)],
        draws=[dropped, torch.rand(4)],
    )


def test_what_the_ranks_tell_one_another(tmp_path):
    answers = apart(small_things, 3, tmp_path)
    for answer in answers:
        assert answer.rows == [0, 0, 1, 1, 2, 2]
        assert torch.equal(answer.gradient, torch.ones(2, 3))
        assert answer.first["from"] == 0
        assert answer.mean[0] == 1
        assert answer.mean[1].isnan()  # a fault at any rank is seen by all
        assert answer.asked == [15, None]
    draws = torch.stack([draw for answer in answers for draw in answer.draws])
    assert len(draws.unique(dim=0)) == 6  # of each rank and step other ones


def fail(ranks, folder):
    if ranks.rank == 1:
        raise FloatingPointError("the loss is nan")
    ranks.mean(torch.ones(1))


def vanish(ranks, folder):
    if ranks.rank == 1:
        os._exit(0)
    ranks.agree(None)


def hang(ranks, folder):
    if ranks.rank == 1:
        wait_until((folder / "rank0").is_file)
    ranks.agree(None)


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (fail, "rank 1: the loss is nan"),
        (vanish, "a process was killed, or its machine is gone"),
        (hang, "a process does not answer"),
    ],
)
def test_a_rank_that_fails_dies_or_hangs_ends_the_others_with_the_reason(tmp_path, work, reason):
    assert timedelta(minutes=1) > room.ANSWERING
    multiprocessing.spawn(_ending, (work, 3, tmp_path), nprocs=3)
    ends = [(tmp_path / f"rank{rank}").read_text() for rank in (0, 2)]
    for rank, said in zip((0, 2), ends, strict=True):
        assert said.startswith(f"rank {rank} stops with the run: ")
        assert said.endswith("; go on with --resume")
        assert "\n" not in said
    assert any(f"run: {reason};" in said for said in ends)  # the second may see the first one go


def _ending(rank, work, size, folder, place=None):
    if work is hang:
        room.ANSWERING = timedelta(seconds=1)
    try:
        with joined(Ranks(rank, size), place or meeting(folder)) as ranks:
            work(ranks, folder)
    except (ConnectionError, FloatingPointError) as error:
        (folder / f"rank{rank}").write_text(str(error))


def read_late(ranks, folder):
    if ranks.rank == 0:
        raise FloatingPointError("the loss is nan")
    reason, late = ranks._first_reason, threading.Event()
    ranks._first_reason = lambda said: (late.wait(1), reason(said))[1]
    ranks.mean(torch.ones(1))


def test_rank_0_stays_until_its_reason_is_read(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        place = f"tcp://localhost:{free.getsockname()[1]}"  # kept by rank 0, unlike a file
    multiprocessing.spawn(_ending, (read_late, 2, tmp_path, place), nprocs=2)
    said = (tmp_path / "rank1").read_text()
    assert said == "rank 1 stops with the run: rank 0: the loss is nan; go on with --resume"


def write_late(ranks, folder):
    if ranks.rank == 0:
        threading.Event().wait(0.5)
    return (folder / "rank1.pt").exists()


def test_no_process_leaves_before_rank_0_has_written(tmp_path):
    assert apart(write_late, 2, tmp_path) == [False, False]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ALONE),
        ({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, Ranks(3, 8, 1)),
        ({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1"}, Ranks(3, 8, 1)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_LOCALID": "0"}, ALONE),  # of sbatch
        ({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "SLURM_STEP_NUM_TASKS": "2"}, ALONE),
    ],
)
def test_the_environment_says_who_a_process_is(environment, expected):
    assert of_environment(environment) == expected


def test_a_batch_is_shared_out_in_equal_parts():
    assert [Ranks(rank, 4).rows(8) for rank in range(4)] == [
        slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 8),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="--batch-size 6 .* must be a multiple of 4"):
        Ranks(0, 4).rows(6)


def test_each_process_takes_its_own_gpu(monkeypatch):
    taken = []
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    cuda = torch.device("cuda")
    for count, local, index in ((4, 3, 3), (1, 3, 0)):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        assert Ranks(3, 4, local).device(cuda) == taken.pop() == torch.device("cuda", index)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="a machine of 2 GPUs; start 2"):
        Ranks(3, 4, 3).device(cuda)
    with pytest.raises(ValueError, match="--device cuda:1: 4 processes take a GPU each"):
        Ranks(3, 4, 3).device(torch.device("cuda", 1))


@pytest.mark.parametrize("G", [1, 2, 4])
def test_packed_keys_come_back_and_lie_clip_by_clip(G):
    keys = Levels(*torch.randn(2, 3, G, 5), *torch.randn(3, 3, 5))
    packed = pack(keys)
    assert packed.shape == (3, 2 * G + 3, 5)
    for mine, theirs in zip(unpack(packed), keys, strict=True):
        assert torch.equal(mine, theirs)
    assert torch.equal(packed[1, 0], keys.clip[1, 0])


def test_with_one_process_nothing_is_changed_and_no_group_is_made(monkeypatch):
    for name in ("init_process_group", "all_reduce", "all_gather", "broadcast"):
        monkeypatch.setattr(dist, name, None)
    state = torch.get_rng_state()
    with joined(ALONE) as ranks:
        values = torch.ones(2)
        assert ranks.gather(values) is values
        assert ranks.mean(values) is values
        assert ranks.first(lambda: 3) == 3
        assert ranks.agree(None) is None
        assert ranks.agree(2) == 2
        assert ranks.rows(7) == slice(0, 7)
        assert ranks.device(torch.device("cuda", 1)) == torch.device("cuda", 1)
        ranks.share(torch.nn.Linear(1, 1))
        ranks.average_gradients([torch.nn.Parameter(values)])
        state = torch.get_rng_state()
        ranks.seed_dropout(1, 2)
        assert torch.equal(torch.get_rng_state(), state)
    assert not dist.is_initialized()
