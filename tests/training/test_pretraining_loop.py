"""pretraining.py against plain loops over the options it was given, and the step by itself.

No option has its default, no run starts at epoch 0, and a row stands for more than one step.
One loop starts from a seed and drops out as the script does. The other one goes on from a
published checkpoint, whose key network is not a copy of the query network, on the plain oracle.
"""

import json
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

import pretraining
from dataset.arrays import load_arrays
from dataset.batches import PretrainingBatches
from dataset.packed import PackedSplit
from moco import ContrastConfig, HiCo, Views, encoder_config
from moco.published import from_published, to_published
from tests.oracles.augment import space_major, stream_of, time_major
from tests.oracles.model import NAMES, PlainHiCo, plain_losses
from tests.oracles.step import plain_optimizer, plain_step
from tests.support.tiny import write_dataset
from tools.checkpoint import make_optimizer, read
from tools.runtime import data_generator
from tools.training.trainer import LAST, training_step

SEED, CLIPS, BATCH, STEPS, FIRST, EPOCHS = 3, 14, 4, 3, 1, 5
RATE, MOMENTUM, DECAY = 0.05, 0.5, 0.1
GRANULARITY, KEYS, TEMPERATURE, KEY_MOMENTUM = 3, 16, 0.3, 0.6
GIVEN = (
    *("--hidden-size", "8", "--num-layers", "2", "--granularity", f"{GRANULARITY}"),
    *("--hico-dim", "4", "--hico-k", f"{KEYS}", "--hico-t", f"{TEMPERATURE}"),
    *("--hico-m", f"{KEY_MOMENTUM}", "--batch-size", f"{BATCH}", "--epochs", f"{EPOCHS}"),
    *("--lr", f"{RATE}", "--momentum", f"{MOMENTUM}", "--weight-decay", f"{DECAY}"),
    *("--seed", f"{SEED}", "--print-freq", "2", "--device", "cpu"),
)
MILESTONES = [RATE, RATE / 10, RATE / 100, RATE / 100]  # of epochs 1 to 4, milestones 2 and 3
COSINE = [RATE * (1 + math.cos(math.pi * epoch / EPOCHS)) / 2 for epoch in range(FIRST, EPOCHS)]
FALLS = [(("--schedule", "2", "3"), MILESTONES), (("--cos",), COSINE)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    return path, write_dataset(path, train=CLIPS, val=6)


def pretrain(data, folder, *more):
    """Run the script; its rows."""
    pretraining.main(["--data-path", str(data[0]), "--checkpoint-path", str(folder), *GIVEN, *more])
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def in_stream(layouts, stream):
    """Both layouts of a stream, made clip by clip from joints in time-major layout."""
    time, space = [], []
    for clip in layouts.time.unflatten(2, (2, 25, 3)).permute(0, 4, 1, 3, 2).numpy():
        of_stream = stream_of(clip, stream)  # (C, T, V, M)
        time.append(time_major(of_stream))
        space.append(space_major(of_stream))
    return torch.from_numpy(np.stack(time)), torch.from_numpy(np.stack(space))


def epochs_of_views(data, stream):
    """For each epoch the query and the key view of its steps, as the seed draws them."""
    split = PackedSplit.from_arrays(load_arrays(data[1], "train"))
    batches = PretrainingBatches(split, "joint", BATCH, data_generator(SEED))
    for _ in range(FIRST, EPOCHS):
        batches.start_epoch()
        yield [[in_stream(view, stream) for view in batches.batch(step)] for step in range(STEPS)]


def assert_rows_are_means(rows, found, rates):
    """Compare each row with the mean over its steps.

    Args:
        rows: of metrics.jsonl; two an epoch, of two steps and of one.
        found: the losses of each step by name, epoch by epoch.
        rates: learning rate of each epoch.
    """
    assert [(row["epoch"], row["batch"], row["step"]) for row in rows] == [
        (epoch, batch, STEPS * epoch + batch) for epoch in range(FIRST, EPOCHS) for batch in (2, 3)
    ]
    parts = [part for epoch in found for part in (epoch[:2], epoch[2:])]
    for row, part, rate in zip(rows, parts, np.repeat(rates, 2), strict=True):
        assert row["learning_rate"] == pytest.approx(rate)
        for name in part[0]:
            mean = sum(losses[name] for losses in part) / len(part)
            assert row[name] == pytest.approx(mean, rel=1e-4, abs=1e-6), (row["step"], name)


def plain_move(model):
    """Key <- m key + (1 - m) query, one parameter after the other."""
    pairs = zip(model.key.parameters(), model.query.parameters(), strict=True)
    for key, query in pairs:
        key.data = KEY_MOMENTUM * key.data + (1 - KEY_MOMENTUM) * query.data


def plain_enqueue(model, keys, written):
    """Write keys over the oldest ones of a ring, one by one; nothing else reads the pointers."""
    for level, projections in keys.items():
        ring = model.queues[level].keys
        for key in projections.detach().reshape(-1, projections.shape[-1]):
            ring[written[level] % len(ring)] = key
            written[level] += 1


@pytest.mark.parametrize(("falls", "rates"), FALLS)
def test_a_run_from_a_seed_is_the_plain_loop_of_its_options(falls, rates, data, tmp_path):
    rows = pretrain(
        data, tmp_path, *falls, "--encoder", "Transformer", "--num-heads", "2",
        "--queue-wrap", "full", "--start-epoch", f"{FIRST}", "--skeleton-representation", "bone",
    )  # fmt: skip
    torch.manual_seed(SEED)
    config = encoder_config(hidden_size=8, num_heads=2, num_layers=2, granularity=GRANULARITY)
    model = HiCo(config, ContrastConfig(4, KEYS, KEY_MOMENTUM, TEMPERATURE, "full")).train()
    optimizer = torch.optim.SGD(model.query.parameters(), RATE, MOMENTUM, weight_decay=DECAY)
    written = dict.fromkeys(model.queues, 0)
    found = []
    for rate, steps in zip(rates, epochs_of_views(data, "bone"), strict=True):
        optimizer.param_groups[0]["lr"] = rate
        found.append([])
        for query, key in steps:
            plain_move(model)
            losses, keys = model(Views(*query), Views(*key))
            plain_enqueue(model, keys, written)
            optimizer.zero_grad()
            losses.total.backward()
            optimizer.step()
            values = losses._asdict() | {"loss": losses.total}
            found[-1].append({name: value.item() for name, value in values.items()})
    assert all(count > len(model.queues[level].keys) for level, count in written.items())
    assert_rows_are_means(rows, found, rates)


def published_checkpoint(path, kind):
    """Write a published checkpoint whose networks differ, with its momentum; return its parts."""
    torch.manual_seed(7)
    sizes = {"hidden_size": 8, "num_layers": 2, "granularity": GRANULARITY, "projection_size": 4}
    contrast = {"queue_size": KEYS, "momentum": KEY_MOMENTUM, "temperature": TEMPERATURE}
    model = PlainHiCo(kind, **sizes, **contrast)
    for parameter in model.encoder_k.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    optimizer = plain_optimizer(model, RATE, MOMENTUM, DECAY)
    for parameter in model.encoder_q.parameters():
        optimizer.state[parameter]["momentum_buffer"] = 0.1 * torch.randn_like(parameter)
    state = {"state_dict": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({"epoch": FIRST, **state}, path)
    return model, optimizer


@pytest.mark.parametrize(("falls", "rates"), FALLS)
@pytest.mark.parametrize(("kind", "stream"), [("GRU", "motion"), ("LSTM", "bone")])
def test_a_run_from_a_published_checkpoint_is_the_published_loop(
    kind, stream, falls, rates, data, tmp_path
):
    model, optimizer = published_checkpoint(tmp_path / "checkpoint_0000.pth.tar", kind)
    rows = pretrain(
        data, tmp_path / "run", *falls, "--encoder", kind, "--skeleton-representation", stream,
        "--resume", str(tmp_path / "checkpoint_0000.pth.tar"),
    )  # fmt: skip
    found = []
    for rate, steps in zip(rates, epochs_of_views(data, stream), strict=True):
        optimizer.param_groups[0]["lr"] = rate
        found.append([])
        for query, key in steps:
            logits = model(query, key)
            losses = plain_losses(logits, GRANULARITY)
            optimizer.zero_grad()
            losses["total"].backward()
            optimizer.step()
            losses["loss"] = losses.pop("total")
            found[-1].append({name: value.item() for name, value in losses.items()})
    assert_rows_are_means(rows, found, rates)
    end = read(tmp_path / "run" / LAST)["state_dict"]
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(end[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_a_step_moves_the_key_contrasts_with_the_old_queues_enqueues_and_descends(kind):
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "granularity": 2, "projection_size": 4, "queue_size": 8}
    plain = PlainHiCo(kind, **sizes, momentum=0.6, temperature=0.3)
    for parameter in plain.encoder_k.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    ours = from_published(plain.state_dict(), momentum=0.6, temperature=0.3)
    optimizers = make_optimizer(ours, 0.1, 0.5, 0.1), plain_optimizer(plain, 0.1, 0.5, 0.1)
    for step in range(1, 4):
        query, key = ((torch.randn(2, 9, 150), torch.randn(2, 8, 192)) for _ in range(2))
        got = training_step(ours, optimizers[0], Views(*query), Views(*key))
        losses = plain_step(plain, optimizers[1], query, key)
        for name in NAMES:
            assert getattr(got, name).item() == pytest.approx(losses[name], rel=1e-4), name
        assert not any(loss.requires_grad for loss in got)
        state = to_published(ours)
        for name, tensor in plain.state_dict().items():
            torch.testing.assert_close(state[name], tensor, rtol=1e-4, atol=1e-5, msg=name)
        assert state["i_queue_ptr"].item() == 2 * step


def test_the_keys_that_a_step_enqueues_are_of_the_moved_network_and_of_the_key_view():
    """Said once more without an oracle of a whole step: only the key network, moved by hand."""
    torch.manual_seed(0)
    model = HiCo(
        encoder_config("GRU", hidden_size=8, granularity=2), ContrastConfig(4, 8, momentum=0.6)
    )
    with torch.no_grad():
        for parameter in model.key.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    query, key = (Views(torch.randn(2, 9, 150), torch.randn(2, 8, 192)) for _ in range(2))
    moved = {
        name: 0.6 * tensor + 0.4 * model.query.state_dict()[name]
        for name, tensor in model.key.state_dict().items()
    }
    training_step(model, make_optimizer(model, 0.1, 0.9, 0.0), query, key)
    for name, tensor in model.key.state_dict().items():
        torch.testing.assert_close(tensor, moved[name], msg=name)
    expected = torch.func.functional_call(model.key, moved, (key,))
    for level, projections in expected.items():
        rows = model.queues[level].keys[: projections[..., 0].numel()]
        torch.testing.assert_close(rows, normalize(projections.flatten(0, -2), dim=1), msg=level)
