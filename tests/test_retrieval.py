"""action_retrieval.py end to end on tiny data."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import KNeighborsClassifier

import action_retrieval
from dataset.arrays import load_arrays
from tests.oracles.probe import recomputed
from tests.tiny import write_checkpoint, write_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    write_dataset(path)
    return path


@pytest.fixture
def run(data, tmp_path, monkeypatch, capsys):
    """Run the script in an empty working folder; returns what it printed."""
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path / "working")

    def _run(*arguments):
        capsys.readouterr()
        action_retrieval.main(
            ["--data-path", str(data), "--device", "cpu", "--seed", "3", *map(str, arguments)]
        )
        return capsys.readouterr().out

    return _run


@pytest.fixture
def refuse(run, capsys):
    """Run the script, which must refuse; returns its one line."""

    def _refuse(*arguments):
        with pytest.raises(SystemExit) as stopped:
            run(*arguments)
        out, err = capsys.readouterr()
        assert stopped.value.code == 2
        assert err.count("\n") == 1
        assert "top-1" not in out  # an error, never a score
        return err.strip()

    return _refuse


@pytest.fixture
def path(tmp_path):
    target = tmp_path / "trained" / "checkpoint_0450.pth.tar"
    write_checkpoint(target)
    return target


def scores(out):
    """Top-1, top-5 and mean average precision as printed, in percent."""
    top1 = re.search(r"^KNN-\d+  top-1 ([\d.]+) %  <- the published figure$", out, re.M)
    extras = r"^extras top-5 ([\d.]+) %, mean average precision ([\d.]+) %$"
    return tuple(map(float, (*top1.groups(), *re.search(extras, out, re.M).groups())))


@pytest.mark.parametrize("k", [1, 3])
def test_the_scores_are_scikit_learns_on_plain_features(k, run, data, tmp_path):
    path = tmp_path / "trained" / "checkpoint_0450.pth.tar"
    plain = write_checkpoint(path, "Transformer")
    parts = [load_arrays(data / "NTU-RGB-D-60-AGCN" / "xview", part) for part in ("train", "val")]
    features, labels = [], [part.labels for part in parts]
    for part in parts:
        features_of = recomputed(plain.encoder_q, part.data, part.num_frames, "joint")
        features.append(features_of(range(len(part.names))).double().numpy())
    classifier = KNeighborsClassifier(k, metric="cosine", algorithm="brute")
    classifier.fit(features[0], labels[0])
    near = classifier.kneighbors(features[1], 5, return_distance=False)
    precisions = [
        average_precision_score(labels[0] == label, row)
        for label, row in zip(labels[1], cosine_similarity(features[1], features[0]), strict=True)
    ]
    expected = (
        classifier.score(features[1], labels[1]),
        (labels[0][near] == labels[1][:, None]).any(axis=1).mean(),
        np.mean(precisions),
    )
    out = run("--pretrained", path, "--knn-neighbours", k)
    assert scores(out) == pytest.approx(tuple(100 * score for score in expected), abs=0.006)
    assert f"KNN-{k}  top-1" in out


def test_the_encoder_is_shown_unchanged(run, path):
    proof = re.search(r"unchanged: sha256 (\w+) before, (\w+) after", run("--pretrained", path))
    assert proof[1] == proof[2]


def test_a_random_encoder_is_labelled_and_seeded(run):
    shape = ("--pretrained", "random", "--encoder", "LSTM", "--hidden-size", "8")
    out = run(*shape)
    assert "retrieval with RANDOM encoder, not pre-trained, seed 3" in out
    assert "LSTM, hidden size 8" in out
    assert scores(out) == scores(run(*shape))
    assert list(Path.cwd().iterdir()) == []


def test_the_batch_size_changes_no_score(run, path):
    assert scores(run("--pretrained", path, "-b", "5")) == scores(run("--pretrained", path))


def test_features_are_saved_where_asked(run, path, data):
    assert "written to" not in run("--pretrained", path)
    out = run("--pretrained", path, "--save-features", "out/f.npz")
    assert "features, labels and names written to out/f.npz" in out
    with np.load("out/f.npz", allow_pickle=False) as saved:
        assert saved["train_features"].shape == (24, 32)
        assert saved["test_features"].shape == (12, 32)
        theirs = load_arrays(data / "NTU-RGB-D-60-AGCN" / "xview", "val")
        assert saved["test_labels"].tolist() == theirs.labels.tolist()
        assert saved["test_names"].tolist() == theirs.names


def test_the_published_spelling_of_the_checkpoint_is_taken_and_said(run, path):
    short = path.with_name("checkpoint_450.pth.tar")
    assert f"{short} is not there; reading {path}" in run("--pretrained", short)


def test_workers_are_said_to_be_unneeded(run, path):
    line = "--workers is not needed: the clips lie on the device"
    assert line in run("--pretrained", path, "--workers", "24")
    assert line not in run("--pretrained", path)


def test_more_neighbours_than_training_clips_are_an_error(refuse, path):
    said = refuse("--pretrained", path, "--knn-neighbours", "25")
    assert said == "error: --knn-neighbours 25: there are 24 training clips"


def test_a_missing_truncated_or_foreign_checkpoint_is_an_error(refuse, path):
    gone = path.with_name("checkpoint_0400.pth.tar")
    assert refuse("--pretrained", gone).startswith(f"error: no checkpoint at {gone}; ")
    path.write_bytes(path.read_bytes()[:-200])
    assert refuse("--pretrained", path).startswith(f"error: {path} is not a readable checkpoint")
    torch.save({"state_dict": {"conv.weight": torch.zeros(3)}}, path)
    assert refuse("--pretrained", path).startswith(f"error: {path} does not fit: ")


def test_a_split_that_is_not_there_is_an_error(refuse, path):
    said = refuse("--pretrained", path, "--protocol", "cross_subject")
    assert "check --data-path or run python -m tools.prepare" in said
