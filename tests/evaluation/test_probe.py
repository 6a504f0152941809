"""The linear probe: the published trajectory, exact resume, and what it refuses."""

import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from options.classification import ClassifierOptions, usual
from tests.support.paths import GOLDENS
from tools.checkpoint import save_whole
from tools.evaluation import classifier
from tools.evaluation.classifier import ClassifierFiles, EpochScore
from tools.evaluation.probe import LinearProbe, train_probe

GOLDEN = GOLDENS / "linear_probe.npz"
SHORT = usual(ClassifierOptions(epochs=6, batch_size=16, lr=0.5, schedule=(3, 5)))
IDENTITY = {"encoder": "abc", "data set": "ntu60"}


def golden(name):
    return torch.from_numpy(np.load(GOLDEN)[name])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def data(seed=0, train=70, test=40, size=12, classes=7):
    generator = seeded(seed)
    centres = torch.randn(classes, size, generator=generator)
    labels = torch.randint(classes, (train + test,), generator=generator)
    features = centres[labels] + torch.randn(train + test, size, generator=generator)
    return features[:train], labels[:train], features[train:], labels[train:]


def fresh(settings=SHORT, seed=1):
    return LinearProbe(12, 7, settings, seeded(seed))


def test_the_published_trajectory_is_reproduced(monkeypatch):
    meta = json.loads(str(np.load(GOLDEN)["meta"]))
    settings = ClassifierOptions(
        epochs=meta["epochs"],
        batch_size=meta["batch"],
        lr=meta["lr"],
        schedule=tuple(meta["schedule"]),
        momentum=meta["momentum"],
        weight_decay=meta["weight_decay"],
    )
    probe = LinearProbe(48, 10, settings, seeded())
    with torch.no_grad():
        probe.fc.weight.copy_(golden("init_weight"))
        probe.fc.bias.copy_(golden("init_bias"))
    orders = iter(golden("permutations"))
    monkeypatch.setattr(torch, "randperm", lambda count, generator: next(orders))
    parts = ("train_features", "train_labels", "test_features", "test_labels")
    train_probe(probe, *(golden(name) for name in parts))
    epochs, losses, top1, top5 = zip(*probe.history, strict=True)
    assert epochs == tuple(range(8))
    np.testing.assert_allclose(losses, np.load(GOLDEN)["train_loss"], atol=1e-5)
    np.testing.assert_allclose(top1, np.load(GOLDEN)["top1"], atol=1e-5)
    np.testing.assert_allclose(top5, np.load(GOLDEN)["top5"], atol=1e-5)
    assert (probe.fc.weight - golden("final_weight")).abs().max() < 1e-5
    assert (probe.fc.bias - golden("final_bias")).abs().max() < 1e-5


def test_every_clip_is_seen_once_an_epoch_in_a_new_order_with_the_last_partial_batch():
    class Spy(torch.nn.Linear):
        def __init__(self):
            super().__init__(1, 70)
            self.seen = []

        def forward(self, features):
            if torch.is_grad_enabled():
                self.seen.append(features.flatten().long().tolist())
            return super().forward(features)

    probe = LinearProbe(1, 70, SHORT, seeded())
    probe.fc = Spy()
    train, labels = torch.arange(70.0)[:, None], torch.zeros(70, dtype=torch.long)
    for _ in range(2):
        probe.run_epoch(train, labels, train, labels)
    assert [len(batch) for batch in probe.fc.seen] == [16, 16, 16, 16, 6] * 2
    first, second = (sum(probe.fc.seen[i : i + 5], []) for i in (0, 5))
    assert sorted(first) == sorted(second) == list(range(70))
    assert first != second


def test_weights_start_normal_with_deviation_a_hundredth_and_bias_at_zero():
    probe = LinearProbe(4096, 60, usual(ClassifierOptions()), seeded())
    assert probe.fc.weight.std().item() == pytest.approx(0.01, rel=0.01)
    assert abs(probe.fc.weight.mean().item()) < 1e-4
    assert (probe.fc.bias == 0).all()


def test_the_defaults_are_the_published_run():
    made = usual(ClassifierOptions())
    assert (made.epochs, made.start_epoch, made.batch_size) == (80, 0, 1024)
    assert (made.lr, made.schedule, made.cos) == (2.0, (50, 70), False)
    assert (made.momentum, made.weight_decay, made.crop) == (0.9, 0.0, "centre")


def test_the_rate_falls_to_a_tenth_at_each_epoch_of_the_schedule():
    probe, rates = fresh(), []
    for _ in range(6):
        probe.run_epoch(*data())
        rates.append(probe.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.5, 0.5, 0.5, 0.05, 0.05, 0.005])


def test_one_seed_gives_one_result_and_another_seed_another():
    first, again, other = (train_probe(fresh(seed=seed), *data()) for seed in (1, 1, 2))
    assert first.history == again.history
    assert torch.equal(first.fc.weight, again.fc.weight)
    assert not torch.equal(first.fc.weight, other.fc.weight)


def test_last_is_the_last_epoch_and_best_the_first_of_the_highest_top1():
    probe = train_probe(fresh(), *data())
    top1 = [score.top1 for score in probe.history]
    assert probe.last.epoch == 5
    assert probe.best.epoch == top1.index(max(top1))
    assert probe.best_state()["best_acc1"] == max(top1)
    assert probe.best_state()["epoch"] == probe.best.epoch + 1


def test_of_two_best_epochs_the_first_counts_and_top5_does_not():
    probe = fresh()
    top1_top5 = [(50, 70), (60, 80), (55, 99), (60, 90)]
    probe.history = [EpochScore(i, 1.0, *pair) for i, pair in enumerate(top1_top5)]
    assert probe.best.epoch == 1
    assert probe.last.epoch == 3


def test_a_fresh_probe_may_start_at_a_later_epoch():
    later = dataclasses.replace(SHORT, start_epoch=4)
    probe = fresh(later)
    rates = []
    train_probe(probe, *data(), lambda _: rates.append(probe.optimizer.param_groups[0]["lr"]))
    assert [score.epoch for score in probe.history] == [4, 5]
    assert rates == pytest.approx([0.05, 0.005])


def test_the_best_state_holds_the_weights_of_the_best_epoch_not_of_the_last():
    train, labels, test, test_labels = data()
    probe = train_probe(fresh(), train, labels, test, test_labels)
    assert probe.best.epoch < probe.last.epoch  # or the test shows nothing
    upto = dataclasses.replace(SHORT, epochs=probe.best.epoch + 1)
    shorter = train_probe(fresh(upto), train, labels, test, test_labels)
    state = probe.best_state()["state_dict"]
    assert torch.equal(state["fc.weight"], shorter.fc.weight)
    assert torch.equal(state["fc.bias"], shorter.fc.bias)


def test_features_may_change_from_epoch_to_epoch():
    train, *rest = data()
    asked = []

    def crops(epoch):
        asked.append(epoch)
        return train + 0.1 * epoch

    changing = train_probe(fresh(), crops, *rest)
    fixed = train_probe(fresh(), train, *rest)
    assert asked == list(range(6))
    assert changing.history[0] == fixed.history[0]
    assert changing.history[1] != fixed.history[1]


@pytest.mark.parametrize("stop", [1, 2, 5])
def test_a_resumed_probe_ends_as_the_uninterrupted_one_to_the_last_bit(stop, tmp_path):
    whole = train_probe(fresh(), *data())
    first = fresh()
    for _ in range(stop):
        first.run_epoch(*data())
    files = ClassifierFiles(tmp_path, "joint", IDENTITY)
    files.save(first)
    second = fresh(seed=9)  # nothing of the seed may remain
    files.resume(second, files.last)
    assert second.epoch == stop
    train_probe(second, *data())
    assert second.history == whole.history
    assert torch.equal(second.fc.weight, whole.fc.weight)
    assert torch.equal(second.fc.bias, whole.fc.bias)
    assert second.best_state()["epoch"] == whole.best_state()["epoch"]
    best = second.best_state()["state_dict"], whole.best_state()["state_dict"]
    assert torch.equal(best[0]["fc.weight"], best[1]["fc.weight"])


def test_resuming_from_the_best_classifier_goes_on_behind_its_epoch(tmp_path):
    whole = train_probe(fresh(), *data())
    files = ClassifierFiles(tmp_path, "joint", IDENTITY)
    files.save(whole)
    second = fresh(seed=9)
    files.resume(second, files.best)
    assert second.epoch == whole.best.epoch + 1
    train_probe(second, *data())
    assert second.history == whole.history


def test_the_saved_files_hold_the_published_entries(tmp_path):
    probe = train_probe(fresh(), *data())
    files = ClassifierFiles(tmp_path / "new", "bone", IDENTITY)
    files.save(probe)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "bone_model_best.pth.tar",
        "bone_model_last.pth.tar",
    ]
    for path in (files.best, files.last):
        payload = torch.load(path, weights_only=True)
        assert {"epoch", "state_dict", "optimizer", "best_acc1"} <= payload.keys()
        assert list(payload["state_dict"]) == ["fc.weight", "fc.bias"]
        assert payload["best_acc1"] == probe.best.top1
        optimizer = torch.optim.SGD(torch.nn.Linear(12, 7).parameters(), 1, momentum=0.9)
        optimizer.load_state_dict(payload["optimizer"])
    assert torch.load(files.last)["epoch"] == 6


def test_saving_between_epochs_waits_but_saving_at_the_end_does_not(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(classifier, "time", SimpleNamespace(monotonic=lambda: now[0]))
    probe = train_probe(fresh(), *data())
    files = ClassifierFiles(tmp_path, "joint", IDENTITY)
    now[0] = classifier.SECONDS_BETWEEN_SAVES - 1
    files.save(probe, now=False)
    assert not files.last.exists()
    now[0] = classifier.SECONDS_BETWEEN_SAVES + 1
    files.save(probe, now=False)
    assert files.last.exists()


def test_more_epochs_may_be_asked_of_a_finished_probe_but_not_fewer(tmp_path):
    probe = train_probe(fresh(), *data())
    before = probe.fc.weight.clone()
    assert torch.equal(train_probe(probe, *data()).fc.weight, before)
    probe.options = dataclasses.replace(SHORT, epochs=5)
    with pytest.raises(ValueError, match="--epochs 5: the classifier has had 6; ask for more"):
        train_probe(probe, *data())
    files = ClassifierFiles(tmp_path, "joint", IDENTITY)
    files.save(probe)
    longer = fresh(dataclasses.replace(SHORT, epochs=8))
    files.resume(longer, files.last)
    assert train_probe(longer, *data()).last.epoch == 7


@pytest.mark.parametrize("name", list(IDENTITY))
def test_a_classifier_of_another_encoder_or_data_set_is_refused(name, tmp_path):
    probe = train_probe(fresh(), *data())
    ClassifierFiles(tmp_path, "joint", IDENTITY | {name: "other"}).save(probe)
    files = ClassifierFiles(tmp_path, "joint", IDENTITY)
    said = f"belongs to {name} other, not {IDENTITY[name]}; leave --resume out to start anew"
    with pytest.raises(ValueError, match=said):
        files.resume(fresh(), files.last)


def test_a_missing_classifier_is_refused(tmp_path):
    files = ClassifierFiles(tmp_path, "joint", IDENTITY)
    with pytest.raises(FileNotFoundError, match="no classifier at .*joint_model_last.pth.tar"):
        files.resume(fresh(), files.last)


def test_a_damaged_classifier_is_refused(tmp_path):
    files = ClassifierFiles(tmp_path, "joint", IDENTITY)
    files.save(train_probe(fresh(), *data()))
    files.last.write_bytes(files.last.read_bytes()[:500])
    with pytest.raises(ValueError, match="joint_model_last.pth.tar is not a readable checkpoint"):
        files.resume(fresh(), files.last)


def test_a_checkpoint_that_is_no_classifier_is_refused(tmp_path):
    save_whole({"epoch": 1, "state_dict": {"x": torch.zeros(1)}}, tmp_path / "a")
    with pytest.raises(ValueError, match="a is not a classifier of action_classification.py"):
        ClassifierFiles(tmp_path, "joint", IDENTITY).resume(fresh(), tmp_path / "a")


@pytest.mark.parametrize("entry", ["state_dict", "optimizer", "history", "generator"])
def test_a_classifier_with_an_entry_of_another_kind_is_refused(entry, tmp_path):
    files = ClassifierFiles(tmp_path, "joint", IDENTITY)
    files.save(train_probe(fresh(), *data()))
    payload = torch.load(files.last)
    save_whole(payload | {entry: {"fc.weight": torch.zeros(2, 3)}}, files.last)
    with pytest.raises(ValueError, match="joint_model_last.pth.tar is not a classifier to go on"):
        files.resume(fresh(), files.last)


def test_a_diverged_training_stops_with_the_epoch_and_the_next_step():
    settings = dataclasses.replace(SHORT, lr=1e38, schedule=())
    with pytest.raises(
        FloatingPointError, match=r"loss is (nan|inf) in epoch \d+; choose --lr below"
    ):
        train_probe(fresh(settings), *data())


@pytest.mark.parametrize("part", ["training", "test"])
def test_features_that_are_not_finite_are_refused(part):
    parts = list(data())
    parts[0 if part == "training" else 2][3, 4] = math.inf
    with pytest.raises(ValueError, match=f"the {part} features are not finite; choose another"):
        train_probe(fresh(), *parts)


@pytest.mark.parametrize("part", ["training", "test"])
def test_a_label_that_the_data_set_does_not_have_is_refused(part):
    parts = list(data())
    parts[1 if part == "training" else 3][5] = 7
    with pytest.raises(ValueError, match=f"the {part} labels go up to 7, the data set has 7 cl"):
        train_probe(fresh(), *parts)


def test_a_read_only_folder_is_found_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(classifier.os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="is read-only.*; copy the checkpoint to a folder"):
        ClassifierFiles(tmp_path, "joint", IDENTITY)


def test_no_batch_waits_for_the_host(monkeypatch):
    waits = []
    for name in ("item", "cpu", "tolist", "__bool__", "__float__", "__int__"):
        original = getattr(torch.Tensor, name)

        def counted(tensor, *args, _name=name, _original=original):
            waits.append(_name)
            return _original(tensor, *args)

        monkeypatch.setattr(torch.Tensor, name, counted)
    counts = []
    for batch_size in (70, 7):
        waits.clear()
        fresh(dataclasses.replace(SHORT, batch_size=batch_size, lr=0.1)).run_epoch(*data())
        counts.append(len(waits))
    assert counts[0] == counts[1] <= 4


def test_a_file_of_before_the_classifiers_shared_their_code_resumes(tmp_path):
    """Layout of version 1: written here by hand, as LinearProbe.last_state then wrote it."""
    whole = train_probe(fresh(), *data())
    first = fresh()
    for _ in range(2):
        first.run_epoch(*data())
    now = {
        "epoch": 2,
        "state_dict": {f"fc.{name}": value for name, value in first.fc.state_dict().items()},
        "optimizer": first.optimizer.state_dict(),
        "best_acc1": first.best.top1,
        "history": [tuple(score) for score in first.history],
        "generator": first.generator.get_state(),
    }
    save_whole(now | {"best": now, "identity": IDENTITY}, tmp_path / "last")
    second = fresh(seed=9)
    ClassifierFiles(tmp_path, "joint", IDENTITY).resume(second, tmp_path / "last")
    assert train_probe(second, *data()).history == whole.history
    assert torch.equal(second.fc.weight, whole.fc.weight)
