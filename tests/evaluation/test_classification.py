"""action_classification.py end to end on tiny data."""

import json
import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import action_classification
from dataset.arrays import load_arrays
from tests.oracles.probe import learn, recomputed, score
from tests.support.imported import imported_by
from tests.support.tiny import save_arrays, write_checkpoint, write_dataset
from tools.runtime import data_generator

SHORT = ("--epochs", "4", "--batch-size", "10", "--schedule", "3", "--lr", "0.5", "--seed", "3")
EPOCH = re.compile(r"epoch (\d+): loss ([\d.]+), top-1 ([\d.]+) %, top-5 ([\d.]+) %")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    write_dataset(path)
    return path


@pytest.fixture
def run(evaluate):
    """Run the script; returns what it printed."""
    return partial(evaluate, action_classification.main, *SHORT)


def epochs(out):
    """(epoch, loss, top-1, top-5) of each epoch as printed."""
    lines = [EPOCH.fullmatch(line) for line in out.splitlines()]
    return [tuple(map(float, line.groups())) for line in lines if line]


def verdict(out, which):
    (line,) = [line for line in out.splitlines() if line.startswith(which)]
    return tuple(map(float, EPOCH.search(line).groups())), line


@pytest.mark.parametrize(("kind", "decay"), [("GRU", 0.0), ("Transformer", 0.1)])
def test_the_scores_are_those_of_recomputing_features_in_every_epoch(
    kind, decay, run, data, tmp_path
):
    path = tmp_path / "trained" / "checkpoint_0450.pth.tar"
    plain = write_checkpoint(path, kind)
    printed = epochs(run("--pretrained", path, "--weight-decay", decay))

    folder = data / "NTU-RGB-D-60-AGCN" / "xview"
    train, test = load_arrays(folder, "train"), load_arrays(folder, "val")
    generator = data_generator(3)
    classifier = torch.nn.Linear(2 * 2 * 8, 60)
    torch.nn.init.normal_(classifier.weight, 0, 0.01, generator=generator)
    torch.nn.init.zeros_(classifier.bias)
    optimizer = torch.optim.SGD(classifier.parameters(), 0.5, 0.9, weight_decay=decay)
    parts = (
        (
            recomputed(plain.encoder_q, part.data, part.num_frames, "joint"),
            torch.tensor(part.labels),
        )
        for part in (train, test)
    )
    (train_features, train_labels), (test_features, test_labels) = parts
    for epoch, (number, loss, top1, top5) in enumerate(printed):
        optimizer.param_groups[0]["lr"] = 0.5 if epoch < 3 else 0.05
        order = torch.randperm(24, generator=generator).tolist()
        expected = learn(classifier, optimizer, train_features, train_labels, order, 10)
        assert number == epoch
        assert loss == pytest.approx(expected, abs=2e-4)
        assert (top1, top5) == pytest.approx(
            score(classifier, test_features, test_labels, 5), abs=0.006
        )
    assert len(printed) == 4


def test_last_and_best_are_printed_and_told_apart(run, path):
    out = run("--pretrained", path)
    scores = epochs(out)
    last, last_line = verdict(out, "last")
    best, best_line = verdict(out, "best")
    assert last == scores[-1]
    assert best == max(scores, key=lambda row: row[2])
    assert last_line.endswith("<- the headline")
    assert best_line.endswith("<- the metric the paper reports; the test part chose its epoch")


def test_the_encoder_is_shown_unchanged_and_its_file_untouched(run, path):
    before = path.read_bytes()
    out = run("--pretrained", path)
    (proof,) = re.findall(r"encoder unchanged: sha256 (\w+) before, (\w+) after", out)
    assert proof[0] == proof[1]
    assert path.read_bytes() == before


def test_the_classifiers_lie_beside_the_checkpoint_and_nothing_in_the_working_folder(run, path):
    run("--pretrained", path)
    folder = path.with_name("checkpoint_0450_ntu60_cross_view_joint_linear")
    assert sorted(path.parent.iterdir()) == [
        path,
        folder,
        path.with_name("joint_model_best.pth.tar"),
        path.with_name("joint_model_last.pth.tar"),
    ]
    events, scores, results = sorted(file.name for file in folder.iterdir())
    assert events.startswith("events.out.tfevents.")
    assert (scores, results) == ("joint_scores.npz", "results.json")
    curves = EventAccumulator(str(folder)).Reload()
    history = json.loads((folder / results).read_text())["runs"][0]["history"]
    for tag, name in (("loss/train", "train_loss"), ("eval/top1", "top1"), ("eval/top5", "top5")):
        found = [(event.step, event.value) for event in curves.Scalars(tag)]
        assert found == [(one["epoch"], pytest.approx(one[name], rel=1e-6)) for one in history]
    assert list(Path.cwd().iterdir()) == []


def test_encoder_kind_and_sizes_come_from_the_checkpoint(run, tmp_path):
    path = tmp_path / "checkpoint_0450.pth.tar"
    write_checkpoint(path, "LSTM", hidden_size=12, granularity=3, num_layers=2)
    out = run("--pretrained", path)
    assert "LSTM, hidden size 12, 2 layer(s), granularity 3" in out
    assert "features of train: 24 x 72" in out


def test_the_published_spelling_of_the_checkpoint_is_taken_and_said(run, path):
    short = path.with_name("checkpoint_450.pth.tar")
    out = run("--pretrained", short)
    assert f"{short} is not there; reading {path}" in out
    assert epochs(out) == epochs(run("--pretrained", path))


def test_a_random_encoder_is_labelled_seeded_and_kept_under_checkpoints(run):
    shape = ("--pretrained", "random", "--encoder", "GRU", "--hidden-size", "8")
    out = run(*shape)
    assert "linear classifier on RANDOM encoder, not pre-trained, seed 3" in out
    assert epochs(out) == epochs(run(*shape))
    assert epochs(out) != epochs(run(*shape, "--seed", "4"))
    assert [file.as_posix() for file in Path().rglob("*.tar")] == [
        "checkpoints/random/joint_model_best.pth.tar",
        "checkpoints/random/joint_model_last.pth.tar",
    ]


def test_random_crops_change_the_training_features_only_and_follow_the_seed(run, path):
    random = ("--pretrained", path, "--probe-crop", "random")
    out = run(*random)
    assert epochs(out) == epochs(run(*random))
    assert epochs(out) != epochs(run("--pretrained", path))
    assert "features of test: 12 x 32" in out
    assert "features of train" not in out


@pytest.mark.parametrize("crop", ["centre", "random"])
def test_a_resumed_probe_ends_as_the_uninterrupted_one(crop, run, path, monkeypatch):
    score = ("--pretrained", path, "--probe-crop", crop)
    whole = run(*score)
    last, best = (path.with_name(f"joint_model_{which}.pth.tar") for which in ("last", "best"))
    wanted = [torch.load(file)["state_dict"] for file in (last, best)]
    run(*score, "--epochs", "2", "--start-epoch", "0")
    stopped = shutil.copy(last, path.with_name("stopped"))
    resumed = run(*score, "--resume", stopped, "--seed", "99")
    assert epochs(resumed) == epochs(whole)[2:]
    assert verdict(resumed, "last") == verdict(whole, "last")
    assert verdict(resumed, "best") == verdict(whole, "best")
    for state, file in zip(wanted, (last, best), strict=True):
        got = torch.load(file)["state_dict"]
        assert all(torch.equal(got[name], state[name]) for name in state)


def test_a_classifier_of_another_crop_is_not_gone_on_with(run, refuse, path):
    run("--pretrained", path)
    last = path.with_name("joint_model_last.pth.tar")
    said = refuse("--pretrained", path, "--resume", last, "--probe-crop", "random", "--epochs", 9)
    assert said.startswith(f"error: {last} belongs to crop centre, not random; ")


def test_a_classifier_of_another_encoder_is_not_gone_on_with(run, refuse, path, tmp_path):
    run("--pretrained", path)
    last = path.with_name("joint_model_last.pth.tar")
    other = tmp_path / "other" / "checkpoint_0450.pth.tar"
    write_checkpoint(other, queue_size=8, hidden_size=4)
    said = refuse("--pretrained", other, "--resume", last, "--epochs", "9")
    assert said.startswith(f"error: {last} belongs to encoder ")


def test_a_missing_classifier_is_not_gone_on_with(refuse, path):
    said = refuse("--pretrained", path, "--resume", "nowhere.tar")
    assert said == "error: no classifier at nowhere.tar; leave --resume out to start anew"


def test_workers_are_said_to_be_unneeded(run, path):
    line = "--workers is not needed: the clips lie on the device"
    assert line in run("--pretrained", path, "-j", "24")
    assert line not in run("--pretrained", path)


def test_a_missing_checkpoint_is_an_error(refuse, path):
    gone = path.with_name("checkpoint_0400.pth.tar")
    said = refuse("--pretrained", gone)
    assert said.startswith(f"error: no checkpoint at {gone}; ")


def test_a_truncated_checkpoint_is_an_error(refuse, path):
    path.write_bytes(path.read_bytes()[:-200])
    assert refuse("--pretrained", path).startswith(f"error: {path} is not a readable checkpoint")


def test_a_foreign_checkpoint_is_an_error(refuse, path):
    torch.save({"state_dict": {"conv.weight": torch.zeros(3)}}, path)
    assert refuse("--pretrained", path).startswith(f"error: {path} does not fit: ")


@pytest.mark.parametrize("change", ["missing key", "extra key", "wrong shape", "not finite"])
def test_a_mismatched_checkpoint_is_an_error(change, refuse, path):
    payload = torch.load(path)
    state = payload["state_dict"]
    name = next(key for key in state if key.startswith("encoder_q.") and state[key].dim() == 1)
    if change == "missing key":
        del state[name]
    elif change == "extra key":
        state["encoder_q.more"] = torch.zeros(3)
    elif change == "wrong shape":
        state[name] = torch.zeros(len(state[name]) + 1)
    else:
        state[name][0] = float("nan")
    torch.save(payload, path)
    assert refuse("--pretrained", path).startswith(f"error: {path}")


def test_a_split_that_is_not_there_is_an_error(refuse, path, tmp_path):
    said = refuse("--pretrained", path, "--data-path", tmp_path / "empty")
    assert "check --data-path or run python -m tools.prepare" in said


def test_a_label_that_the_data_set_does_not_have_is_an_error(refuse, path, data, tmp_path):
    source = load_arrays(data / "NTU-RGB-D-60-AGCN" / "xview", "train")
    for part in ("train", "val"):
        save_arrays(
            tmp_path / "NTU-RGB-D-60-AGCN" / "xview",
            part,
            np.array(source.data),
            source.num_frames,
            [60, *source.labels[1:]],
            source.names,
        )
    said = refuse("--pretrained", path, "--data-path", tmp_path)
    assert said.startswith("error: the test labels go up to 60, the data set has 60 classes; ")


def test_a_diverged_classifier_is_an_error_that_names_the_epoch(run, path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run("--pretrained", path, "--lr", "1e38")
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert re.fullmatch(
        r"error: the training loss is \w+ in epoch \d; choose --lr below .*\n", said
    )


def test_a_device_that_is_not_there_is_an_error(refuse, path):
    said = refuse("--pretrained", path, "--device", "cuda:77")
    assert said.startswith("error: --device cuda:77: ")


@pytest.mark.parametrize("script", ["action_classification", "action_retrieval", "pretraining"])
def test_each_script_answers_help_with_little_beside_the_standard_library(script):
    call = f"import sys\nsys.argv[1:] = ['--help']\nimport {script}\n{script}.main()"
    shown, foreign, count = imported_by(call)
    assert foreign == []
    assert count < 100
    assert "(default:" in shown
