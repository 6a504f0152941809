"""N processes give the losses of one, hold the same queues, and end together."""

import socket
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

from moco import HiCo, Views
from moco.config import ContrastConfig, encoder_config
from moco.heads import Levels, pack, unpack
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
    draw = [torch.randn(BATCH, *size, generator=generator) for size in ((64, 150), (50, 192))]
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
    return said(lambda: ranks.mean(torch.ones(1)))


def vanish(ranks, folder):
    if ranks.rank == 1:
        import os

        os._exit(0)
    return said(lambda: ranks.agree(None))


def hang(ranks, folder):
    if ranks.rank == 1:
        (folder / "rank0.pt").touch()
        while not (folder / "rank0.pt").stat().st_size:
            pass
    return said(lambda: ranks.agree(None))


def said(work):
    with pytest.raises(ConnectionError) as error:
        work()
    return str(error.value)


def test_with_one_process_nothing_is_changed_and_no_group_is_made(monkeypatch):
    for name in ("init_process_group", "all_reduce", "all_gather_into_tensor", "broadcast"):
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
