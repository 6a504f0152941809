"""Fine-tuning: a plain loop's trajectory, which parameters move and how fast, exact resume."""

import copy
import dataclasses
import re
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from dataset.arrays import load_arrays
from dataset.augment import PROBE_SHORTEST_CROP, draw_crop
from dataset.batches import LabelledBatches
from dataset.packed import PackedSplit
from moco import ContrastConfig, HiCo, encoder_config
from moco.published import to_published
from options.classification import (
    ClassificationOptions,
    ClassifierOptions,
    EncoderTrainingOptions,
)
from options.groups import RunOptions
from tests.oracles.augment import crop_resize, space_major, time_major
from tests.support.tiny import write_checkpoint, write_dataset
from tools.checkpoint import load_encoder, save_whole
from tools.evaluation.classification import _fresh_model
from tools.evaluation.features import extract
from tools.evaluation.finetune import FineTuner, make_optimizer

CLASSES = 6
PLAN = {"epochs": 3, "batch_size": 7, "lr": 0.05, "schedule": (2,)}


def options(encoder=None, **training):
    """How to learn: changes of PLAN, and of what the encoder does."""
    return ClassificationOptions(
        pretrained="checkpoint.pth.tar",
        mode="finetune",
        training=ClassifierOptions(**PLAN | training),
        finetuning=EncoderTrainingOptions(**encoder or {}),
        run=RunOptions(print_freq=2),
    )


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    folder = write_dataset(tmp_path_factory.mktemp("data"), frames=(50, 120))
    return {part: load_arrays(folder, part) for part in ("train", "val")}


@pytest.fixture(scope="module")
def splits(arrays):
    return {part: PackedSplit.from_arrays(each) for part, each in arrays.items()}


def model(kind="Transformer", **sizes):
    torch.manual_seed(0)
    config = encoder_config(kind, **({"hidden_size": 8, "granularity": 2} | sizes))
    return HiCo(config, ContrastConfig(projection_size=4, queue_size=8)).eval()


def tuner(splits, settings=None, of=None, seed=2, clips=None):
    train, settings = splits["train"], settings or options()
    clips = torch.arange(len(train)) if clips is None else clips
    generator = torch.Generator().manual_seed(seed)
    batches = LabelledBatches(train, clips, "joint", settings.training.batch_size, generator)
    torch.manual_seed(seed)
    return FineTuner(of or model(), CLASSES, settings, batches)


def epoch(learner, splits):
    assert learner.train_epoch()
    with torch.no_grad():
        scores = learner.fc(extract(learner.model, splits["val"], "joint"))
    return learner.record(scores, splits["val"].labels, len(learner.batches.clips))


def train(learner, splits):
    while learner.epoch < learner.options.epochs:
        epoch(learner, splits)
    return learner


def states(learner):
    return {**learner.encoder.state_dict(), **learner.fc.state_dict()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first | second)


def test_the_trajectory_is_a_plain_loops(splits, arrays, tmp_path):
    path = tmp_path / "checkpoint_0450.pth.tar"
    plain = write_checkpoint(path, "GRU").encoder_q  # it has no dropout
    loaded, _ = load_encoder(str(path), report=lambda line: None)
    learner = train(tuner(splits, of=loaded), splits)

    generator = torch.Generator().manual_seed(2)
    fc = torch.nn.Linear(32, CLASSES)
    torch.nn.init.normal_(fc.weight, 0, 0.01, generator=generator)
    torch.nn.init.zeros_(fc.bias)
    optimizer = torch.optim.SGD([*plain.hi_encoder.parameters(), *fc.parameters()], 0.05, 0.9)
    clips, labels = arrays["train"].data, torch.tensor(arrays["train"].labels)
    for number in range(3):
        optimizer.param_groups[0]["lr"] = 0.05 if number < 2 else 0.005
        order = torch.randperm(24, generator=generator)
        window = draw_crop(splits["train"].num_frames[order], generator, PROBE_SHORTEST_CROP)
        total = 0.0
        for rows in torch.arange(24).split(7):
            cut = [
                crop_resize(clips[order[row]], int(window.start[row]), int(window.length[row]))
                for row in rows
            ]
            time = torch.stack([torch.from_numpy(time_major(clip)) for clip in cut])
            space = torch.stack([torch.from_numpy(space_major(clip)) for clip in cut])
            loss = F.cross_entropy(fc(plain.features((time, space))), labels[order[rows]])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        assert learner.history[number].train_loss == pytest.approx(total / 24, abs=1e-5)
    torch.testing.assert_close(learner.fc.weight, fc.weight, atol=1e-5, rtol=1e-4)
    ours = to_published(learner.model)
    for name, value in plain.state_dict().items():
        if name.startswith("hi_encoder."):
            torch.testing.assert_close(ours[f"encoder_q.{name}"], value, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "Transformer"])
def test_every_parameter_of_the_encoder_learns_and_nothing_else_of_the_model(kind, splits):
    learner = tuner(splits, of=model(kind))
    before = copy.deepcopy(learner.model.state_dict())
    epoch(learner, splits)
    after = learner.model.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if name.startswith("query.encoder.")}
    assert not any(parameter.requires_grad for parameter in learner.model.key.parameters())


def test_only_the_labelled_clips_are_learnt_from(splits):
    chosen = torch.tensor([1, 2, 5])
    split = splits["train"]
    broken = split.labels.clone()
    broken[[0, 3, 4, *range(6, 24)]] = 99  # would be out of range
    other = dataclasses.replace(split, labels=broken)
    first = train(tuner(splits, clips=chosen), splits)
    second = train(tuner({"train": other, "val": splits["val"]}, clips=chosen), splits)
    assert same(states(first), states(second))


def test_dropout_is_on_in_train_mode_and_off_in_eval_mode(splits):
    def loss(mode, seed):
        settings = options({"encoder_mode": mode}, epochs=1)
        learner = tuner(splits, settings)
        torch.manual_seed(seed)
        epoch(learner, splits)
        assert not learner.encoder.training
        return learner.last.train_loss

    assert loss("train", 1) != loss("train", 2)
    assert loss("eval", 1) == loss("eval", 2)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("stop", [(0, 1), (1, 0), (1, 2), (2, 3)])
def test_a_resumed_run_ends_as_the_uninterrupted_one_to_the_last_bit(
    stop, optimizer, splits, tmp_path
):
    settings = options({"optimizer": optimizer})
    whole = train(tuner(splits, settings), splits)
    first = tuner(splits, settings)
    for _ in range(stop[0]):
        epoch(first, splits)
    assert not first.train_epoch(lambda: first.batch >= stop[1])
    save_whole(first.last_state(), tmp_path / "last")
    second = tuner(splits, settings, seed=9)  # nothing of the seed may remain
    second.restore(torch.load(tmp_path / "last"), tmp_path / "last")
    assert (second.epoch, second.batch) == stop
    train(second, splits)
    assert second.history == whole.history
    assert same(states(second), states(whole))
    assert second.best == whole.best
    best = second.best_state()["state_dict"], whole.best_state()["state_dict"]
    assert same(*best)


def test_there_is_no_best_before_the_first_epoch(splits):
    learner = tuner(splits)
    learner.train_epoch(lambda: learner.batch == 1)
    assert learner.best_state() == {}


@pytest.mark.parametrize("entry", ["state_dict", "optimizer", "history", "generator", "random"])
def test_a_file_with_an_entry_of_another_kind_is_refused(entry, splits, tmp_path):
    payload = train(tuner(splits), splits).last_state() | {entry: {"fc.weight": torch.zeros(2)}}
    with pytest.raises(ValueError, match="last is not a classifier to go on from"):
        tuner(splits).restore(payload, tmp_path / "last")


def test_a_diverged_training_stops_with_epoch_and_batch(splits):
    learner = tuner(splits, options(lr=1e38))
    said = r"the training loss is (nan|inf) in epoch \d, by batch [24]; choose --lr below 1e\+38"
    with pytest.raises(FloatingPointError, match=said):
        train(learner, splits)


def layer(name):
    """Which layer of the encoder a parameter belongs to, counted from the input."""
    if ".sequence." in name:
        return 2 + int(re.search(r"layers\.(\d)|_l(\d)", name)[0][-1])
    return ["embedding", "downsample"].index(name.split(".")[1])


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "Transformer"])
def test_each_layer_learns_at_a_share_of_the_rate_above_and_the_head_at_its_own(kind):
    encoder = model(kind, num_layers=2).encoder
    fc = torch.nn.Linear(32, CLASSES)
    settings = options({"encoder_lr": 0.8, "head_lr": 3.0, "layer_decay": 0.5}, lr=9.0)
    rates = {
        id(parameter): group["lr"]
        for group in make_optimizer(encoder, fc, settings).param_groups
        for parameter in group["params"]
    }
    assert {rates[id(parameter)] for parameter in fc.parameters()} == {3.0}
    expected = {0: 0.1, 1: 0.2, 2: 0.4, 3: 0.8}
    for name, parameter in encoder.named_parameters():
        assert rates[id(parameter)] == pytest.approx(expected[layer(name)]), name
    assert {layer(name) for name, _ in encoder.named_parameters()} == set(expected)


def test_the_rates_of_both_follow_one_schedule(splits):
    settings = options({"encoder_lr": 0.01, "head_lr": 0.1})
    learner = tuner(splits, settings)
    seen = []
    for _ in range(3):
        epoch(learner, splits)
        seen.append(sorted(group["lr"] for group in learner.optimizer.param_groups))
    assert seen[0] == seen[1] == [0.01, 0.1]
    assert seen[2] == pytest.approx([0.001, 0.01])
    cosine = tuner(splits, options({"encoder_lr": 0.01, "head_lr": 0.1}, cos=True))
    epoch(cosine, splits)
    epoch(cosine, splits)
    rates = sorted(group["lr"] for group in cosine.optimizer.param_groups)
    assert rates == pytest.approx([0.0075, 0.075])


def test_adamw_decays_matrices_only_and_sgd_everything():
    encoder = model().encoder
    fc = torch.nn.Linear(32, CLASSES)
    for name in ("adamw", "sgd"):
        optimizer = make_optimizer(encoder, fc, options({"optimizer": name}, weight_decay=0.05))
        assert type(optimizer) is {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[name]
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                decays = name == "sgd" or parameter.dim() > 1
                assert group["weight_decay"] == (0.05 if decays else 0.0)
        count = sum(len(group["params"]) for group in optimizer.param_groups)
        assert count == len(list(encoder.parameters())) + 2


def test_a_file_of_before_the_classifiers_shared_their_code_resumes(splits, tmp_path):
    """Layout of version 1: written here by hand, as FineTuner.last_state then wrote it."""
    whole = train(tuner(splits), splits)
    first = tuner(splits)
    epoch(first, splits)
    assert not first.train_epoch(lambda: first.batch >= 2)
    encoder, fc = first.encoder.state_dict(), first.fc.state_dict()
    now = {
        "epoch": 1,
        "batch": 2,
        "loss": first.last_state()["loss"],
        "state_dict": {f"encoder.{n}": x for n, x in encoder.items()}
        | {f"fc.{n}": x for n, x in fc.items()},
        "optimizer": first.optimizer.state_dict(),
        "best_acc1": first.best.top1,
        "history": [tuple(score) for score in first.history],
        "generator": first.batches.epoch_state,
        "random": {"torch": torch.get_rng_state(), "cuda": None},
    }
    save_whole(now | {"best": first.best_state()}, tmp_path / "last")
    second = tuner(splits, seed=9)
    second.restore(torch.load(tmp_path / "last"), tmp_path / "last")
    train(second, splits)
    assert second.history == whole.history
    assert same(states(second), states(whole))


def test_a_copied_recurrent_encoder_lays_its_weights_in_one_piece_again(monkeypatch):
    made = []
    monkeypatch.setattr(torch.nn.RNNBase, "flatten_parameters", lambda self: made.append(self))
    model = HiCo(encoder_config("LSTM", hidden_size=8), ContrastConfig(queue_size=8))
    made.clear()
    downstream = SimpleNamespace(model=model)
    copied = _fresh_model(downstream, SimpleNamespace(mode="finetune"), None)
    assert copied is not model
    assert made == [copied.encoder.time.sequence.rnn, copied.encoder.space.sequence.rnn] + [
        copied.key.encoder.time.sequence.rnn,
        copied.key.encoder.space.sequence.rnn,
    ]
