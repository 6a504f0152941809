"""An evaluation says which clips it saw, and refuses or names what makes its score mean less."""

import json
import pickle

import numpy as np
import pytest
import torch

import action_retrieval
import pretraining
from dataset.arrays import SplitFiles, load_split
from dataset.origin import PUBLISHED
from tests.support.tiny import write_checkpoint, write_dataset

SMALL = ["--epochs", "1", "--batch-size", "4", "--encoder", "GRU", "--hidden-size", "8"]
SMALL += ["--seed", "1", "--hico-k", "8", "--hico-dim", "4", "--device", "cpu"]


@pytest.fixture
def data(tmp_path):
    return write_dataset(tmp_path / "data", train=8, val=6)


@pytest.fixture
def checkpoint(tmp_path):
    write_checkpoint(tmp_path / "checkpoint_0001.pth.tar")
    return tmp_path / "checkpoint_0001.pth.tar"


@pytest.fixture
def retrieve(tmp_path, data):
    """Evaluate a checkpoint and return results.json."""

    def results(pretrained, *more):
        arguments = ["--pretrained", str(pretrained), "--data-path", str(tmp_path / "data")]
        arguments += ["--output-path", str(tmp_path / "results"), "--device", "cpu"]
        action_retrieval.main([*arguments, *more])
        return json.loads(next(tmp_path.rglob("results.json")).read_text())

    return results


def move(folder, by=1.0):
    """Take the origin out of all bodies."""
    for arrays in load_split(folder):
        clips = np.array(arrays.data)
        clips[..., 0] += by
        np.save(arrays.path, clips)


def rewrite_labels(folder, part, change):
    path = SplitFiles.of(folder, part).labels
    names, labels = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps((names, change(labels))))


def test_twins_of_foreign_arrays_are_counted_at_load(data, checkpoint, retrieve, capsys):
    train, test = load_split(data)
    clips, counts = np.array(test.data), np.array(test.num_frames)
    clips[[1, 4]], counts[[1, 4]] = train.data[[0, 7]], train.num_frames[[0, 7]]
    np.save(test.path, clips)
    np.save(SplitFiles.of(data, "val").num_frames, counts)
    said = retrieve(checkpoint)
    assert said["clips"]["twins"] == 2
    assert said["clips"]["prepared"] is None
    assert "warning: 2 of 6 test clips also stand in the training part" in capsys.readouterr().out


def test_classes_beyond_the_data_set_are_refused_by_retrieval(data, checkpoint, retrieve, capsys):
    rewrite_labels(data, "train", lambda labels: [60, *labels[1:]])
    with pytest.raises(SystemExit):
        retrieve(checkpoint)
    assert "60" in capsys.readouterr().err


def test_another_origin_needs_a_word_and_is_said_once(tmp_path, data, retrieve, capsys):
    move(data)
    with pytest.raises(SystemExit):
        retrieve("random", "--hidden-size", "8")
    assert "--origin any" in capsys.readouterr().err
    said = retrieve("random", "--hidden-size", "8", "--origin", "any")
    assert said["clips"]["origin"].startswith("nowhere on the body")
    assert capsys.readouterr().err.count("its origin is") == 1


def test_origins_are_not_mixed_between_training_and_evaluation(
    tmp_path, data, checkpoint, retrieve, capsys
):
    run = tmp_path / "run"
    move(data)
    common = ["--data-path", str(tmp_path / "data"), "--checkpoint-path", str(run), *SMALL]
    pretraining.main([*common, "--origin", "any"])
    ours = run / "checkpoint_last.pth.tar"
    assert torch.load(ours, weights_only=True)["data"]["origin"].startswith("nowhere on")
    assert retrieve(ours, "--origin", "any")["settings"]["data"]["origin"] == "any"
    with pytest.raises(SystemExit):  # a published checkpoint knows published clips
        retrieve(checkpoint, "--origin", "any")
    assert "evaluate on clips prepared in the same way" in capsys.readouterr().err
    write_dataset(tmp_path / "data", train=8, val=6)
    with pytest.raises(SystemExit):
        retrieve(ours)
    assert f"that of {data}/train_data_joint.npy is {PUBLISHED}" in capsys.readouterr().err
