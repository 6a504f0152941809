"""A run that is watched is the same run; what is shown of it is right, and said in time."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import pretraining
from dataset.arrays import load_arrays
from dataset.packed import PackedSplit
from moco import HiCo, Views, encoder_config
from options.pretraining import PretrainingData, PretrainingOptions, WatchOptions
from tests.oracles.neighbours import nearest
from tests.support.tiny import save_arrays, write_dataset
from tools.checkpoint import load_encoder, read
from tools.evaluation.features import extract
from tools.training import trainer, watch
from tools.training.log import Silence
from tools.training.trainer import LAST, Trainer

SMALL = (
    *("--hidden-size", "8", "--hico-dim", "4", "--hico-k", "16", "--batch-size", "4"),
    *("--print-freq", "2", "--device", "cpu", "--lr", "0.05", "--epochs", "4", "--seed", "3"),
    *("--schedule", "2", "--save-freq", "2"),
)
WATCHED = ("--knn-every", "2", "--knn-clips", "9", "5")
NEW = ("eval/", "features/")


def pretrain(data, folder, *more):
    pretraining.main(["--data-path", str(data), "--checkpoint-path", str(folder), *SMALL, *more])


def rows(folder, watched):
    """The rows of losses, or those of looks, without their speed."""
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    chosen = [row for row in found if any(n.startswith(NEW) for n in row) == watched]
    return [{n: v for n, v in row.items() if n != "clips_per_second"} for row in chosen]


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """A run at which nobody looks, not even at its features, and the same one with looks."""
    folders = tmp_path_factory.mktemp("plain"), tmp_path_factory.mktemp("watched")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "Watch", lambda *_: Silence())
        pretrain(data, folders[0])
    pretrain(data, folders[1], *WATCHED)
    return folders


def assert_same(ours, theirs):
    """Compare the checkpoints of two runs bit by bit, but for the options."""
    for name in ("state_dict", "optimizer", "random", "progress"):
        assert_equal(ours[name], theirs[name])


def assert_equal(ours, theirs):
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert_equal(ours[name], theirs[name])
    elif isinstance(ours, list):
        for pair in zip(ours, theirs, strict=True):
            assert_equal(*pair)
    else:
        assert torch.equal(ours, theirs) if torch.is_tensor(ours) else ours == theirs


def test_a_run_is_the_same_to_the_last_bit_with_and_without_looks(runs):
    plain, watched = runs
    assert rows(plain, watched=True) == []
    assert rows(watched, watched=False) == rows(plain, watched=False)
    for name in ("checkpoint_0000.pth.tar", "checkpoint_0002.pth.tar", LAST):
        assert_same(read(watched / name), read(plain / name))


def test_a_run_without_looks_says_nothing_of_them_but_to_tensorboard(data, runs, tmp_path):
    pretrain(data, tmp_path)
    assert rows(tmp_path, watched=True) == []
    assert rows(tmp_path, watched=False) == rows(runs[0], watched=False)
    tags = EventAccumulator(str(tmp_path)).Reload().Tags()["scalars"]
    assert {"features/rank", "features/deviation", "features/positives"} <= set(tags)
    assert "eval/knn1" not in tags


def test_looks_come_before_training_then_at_every_nth_epoch_and_the_last(data, runs, tmp_path):
    table = rows(runs[1], watched=True)
    places = [(row["epoch"], row["batch"], row["step"]) for row in table if "eval/knn1" in row]
    assert places == [(0, 0, 0), (1, 3, 6), (3, 3, 12)]
    pretrain(data, tmp_path, *WATCHED, "--epochs", "3")
    steps = [row["step"] for row in rows(tmp_path, watched=True) if "eval/knn1" in row]
    assert steps == [0, 6, 9]


def test_the_score_is_that_of_the_checkpoint_by_brute_force(data, runs):
    options = PretrainingData(data_path=data)
    parts = [PackedSplit.from_arrays(load_arrays(options.folder, p)) for p in ("train", "val")]
    generator = torch.Generator().manual_seed(watch.SAMPLE_SEED)
    gallery = torch.randperm(14, generator=generator)[:9].sort().values
    queries = torch.randperm(6, generator=generator)[:5].sort().values
    model, _ = load_encoder(str(runs[1] / LAST), report=lambda line: None)
    features = [
        extract(model, part, "joint", clips=clips)
        for part, clips in zip(parts, (gallery, queries), strict=True)
    ]
    labels = [parts[0].labels[gallery], parts[1].labels[queries]]
    near = nearest(*(each.double().numpy() for each in features))[:, 0]
    expected = 100 * (labels[0][near] == labels[1]).double().mean().item()
    found = [row for row in rows(runs[1], watched=True) if "eval/knn1" in row][-1]
    assert found["eval/knn1"] == pytest.approx(expected)
    right = (labels[0][:, None] == labels[1]).double().mean().item()
    assert found["eval/chance"] == pytest.approx(100 * right)
    first = rows(runs[1], watched=True)[0]
    assert found["eval/knn1_untrained"] == first["eval/knn1"]


def test_what_looks_are_measured_against_is_said_once(data, tmp_path, capsys):
    pretrain(data, tmp_path, *WATCHED, "--epochs", "1")
    first = rows(tmp_path, watched=True)[0]
    said = (
        f"nearest neighbours: {first['eval/knn1']:.1f} % before training, "
        f"{first['eval/chance']:.1f} % by chance\n"
    )
    assert capsys.readouterr().out.count(said) == 1


def test_a_stopped_run_catches_up_on_the_look_it_missed(data, runs, tmp_path, monkeypatch):
    save = Trainer._end_epoch

    def stop_in_the_second_epoch(run):
        save(run)
        if run.progress.epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Trainer, "_end_epoch", stop_in_the_second_epoch)
    with pytest.raises(SystemExit):
        pretrain(data, tmp_path, *WATCHED)
    monkeypatch.undo()
    assert [row["step"] for row in rows(tmp_path, watched=True) if "eval/knn1" in row] == [0]
    pretrain(data, tmp_path, *WATCHED, "--resume", str(tmp_path / LAST))
    scored = [
        [row for row in rows(folder, watched=True) if "eval/knn1" in row]
        for folder in (tmp_path, runs[1])
    ]
    assert scored[0] == scored[1]


@pytest.mark.parametrize("method", ["_end_epoch", "_run_epoch"])
def test_a_run_that_stops_between_two_epochs_looks_at_each_epochs_features_once(
    data, tmp_path, monkeypatch, method
):
    """The signal comes as an epoch ends, or as the next one begins."""
    monkeypatch.setattr(watch, "HEALTH_SHARE", 1.0)  # each epoch
    pretrain(data, tmp_path / "whole", *WATCHED)
    called = getattr(Trainer, method)

    def with_signal(run, *given):
        if method == "_run_epoch" and run.progress.epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        called(run, *given)
        if method == "_end_epoch" and run.progress.epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, method, with_signal)
        with pytest.raises(SystemExit):
            pretrain(data, tmp_path / "stopped", *WATCHED)
    pretrain(data, tmp_path / "stopped", *WATCHED, "--resume", str(tmp_path / "stopped" / LAST))
    looks = [
        sorted(rows(tmp_path / name, watched=True), key=lambda row: (row["step"], len(row)))
        for name in ("whole", "stopped")
    ]
    assert [row["step"] for row in looks[0] if "features/rank" in row] == [3, 6, 9, 12]
    assert looks[0] == looks[1]


def views(count, generator, spread=1.0):
    time, space = (torch.randn(count, *size, generator=generator) for size in ((8, 150), (6, 192)))
    return Views(spread * time, spread * space)


def test_health_is_that_of_the_features_by_definition():
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = HiCo(encoder_config(hidden_size=8, granularity=2)).train()
    pairs = [(views(5, generator), views(5, generator)) for _ in range(3)]
    found = watch.health(model, iter(pairs))
    assert model.training
    model.eval()
    with torch.no_grad():
        features = torch.cat([model.encoder(query).instance for query, _ in pairs]).numpy()
        ours = torch.cat([model.query(query).instance for query, _ in pairs])
        theirs = torch.cat([model.key(key).instance for _, key in pairs])
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert found["deviation"] == pytest.approx(unit.std(axis=0).mean() * 32**0.5, rel=1e-4)
    values = np.linalg.svd(unit - unit.mean(axis=0), compute_uv=False)
    shares = values[values > 1e-6] / values[values > 1e-6].sum()
    assert found["rank"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-3)
    assert found["positives"] == pytest.approx((ours * theirs).sum(dim=1).mean().item(), abs=1e-5)
    queue = model.queues["instance"].keys
    assert found["queue"] == pytest.approx((ours @ queue.T).mean().item(), abs=1e-5)


def test_health_shows_features_that_have_collapsed():
    generator = torch.Generator().manual_seed(0)
    model = HiCo(encoder_config("GRU", hidden_size=8, granularity=2))
    same = views(1, generator)
    same = Views(same.time.expand(6, -1, -1), same.space.expand(6, -1, -1))
    found = watch.health(model, iter([(same, same)]))
    assert found["deviation"] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("more", "warning"),
    [
        (("--hico-k", "32"), "the queue holds 32 keys but there are only 14 clips"),
        (("--batch-size", "8"), "--batch-size 8 makes a single step an epoch of 14 clips"),
        (("--batch-size", "8"), "each epoch drops 6 of 14 clips"),
        (("--schedule", "9"), "--schedule 9 lies beyond the last of 1 epochs"),
    ],
)
def test_what_would_cost_a_day_is_said_beforehand(data, tmp_path, capsys, more, warning):
    fine = ("--hico-k", "12", "--epochs", "1", "--schedule")
    pretrain(data, tmp_path / "fine", *fine)
    assert "warning" not in capsys.readouterr().out
    pretrain(data, tmp_path / "odd", "--hico-k", "8", *fine[2:], *more)
    assert f"warning: {warning}" in capsys.readouterr().out


def test_it_is_said_once_that_the_loss_rises_at_first_and_until_when(data, tmp_path, capsys):
    pretrain(data, tmp_path, "--epochs", "1")
    assert capsys.readouterr().out.count("queue is full of real keys, at step 4 (epoch 1)") == 1
    pretrain(data, tmp_path, "--epochs", "2", "--resume", str(tmp_path / LAST))
    assert "queue is full" not in capsys.readouterr().out


def test_a_score_below_chance_is_said(tmp_path, capsys):
    """Test clips are training clips under another label, so each finds the wrong one."""
    folder = write_dataset(tmp_path, train=12, val=6)
    train = load_arrays(folder, "train")
    labels = [(label + 1) % 6 for label in train.labels]
    save_arrays(folder, "val", np.array(train.data), train.num_frames, labels, train.names)
    pretrain(tmp_path, tmp_path / "run", "--knn-every", "1")
    said = capsys.readouterr().out
    assert said.count("warning: KNN 0.0 % is below chance, 16.7 %") == 1


def test_labels_that_are_not_there_are_named_before_the_first_step(data, tmp_path, capsys):
    folder = write_dataset(tmp_path, train=12, val=6)
    (folder / "val_data_joint.npy").unlink()
    with pytest.raises(SystemExit) as stopped:
        pretrain(tmp_path, tmp_path / "run", *WATCHED)
    assert stopped.value.code == 2
    assert "val_data_joint.npy" in capsys.readouterr().err


def test_features_are_looked_at_each_epoch_and_in_short_ones_for_a_small_share_of_the_time():
    assert watch.health_plan(588) == (4, 1)  # NTU-60 cross-view
    for steps in (1, 2, 3, 10, 100):
        count, every = watch.health_plan(steps)
        assert count == min(4, steps)
        assert 3 * count <= watch.HEALTH_SHARE * every * 4 * steps


def test_two_numbers_of_clips_are_needed():
    with pytest.raises(ValueError, match="needs two numbers"):
        PretrainingOptions(watch=WatchOptions(knn_clips=(1, 2, 3)))


def test_clips_of_another_origin_are_looked_at_where_they_are_trained_on(tmp_path):
    folder = write_dataset(tmp_path / "data", train=14, val=6)
    for part in ("train", "val"):
        clips = np.load(folder / f"{part}_data_joint.npy")
        np.save(folder / f"{part}_data_joint.npy", clips + 2)
    pretrain(tmp_path / "data", tmp_path / "run", *WATCHED, "--origin", "any")
    assert rows(tmp_path / "run", watched=True)
