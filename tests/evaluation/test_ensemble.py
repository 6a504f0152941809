"""Streams together: arithmetic by hand, matching by name, refusals, and never a chosen weight."""

import json
import re

import numpy as np
import pytest

from tools.ensemble import main
from tools.evaluation import ensemble
from tools.evaluation.results import Scores, save_scores

WEIGHTS = (0.6, 0.6, 0.4)


def scores(stream="joint", seed=0, clips=12, classes=7, shuffle=None, about=True):
    """Random scores; `shuffle` brings the clips into another order."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(clips, classes)).astype(np.float32)
    labels = np.arange(clips) % classes
    values[np.arange(clips), labels] += 1
    order = (
        np.arange(clips) if shuffle is None else np.random.default_rng(shuffle).permutation(clips)
    )
    names = [f"S{row:03}" for row in order]
    said = {"stream": stream, "dataset": "ntu60"} if about else {}
    return Scores(names, labels[order], values[order], said)


@pytest.fixture
def files(tmp_path):
    paths = []
    for seed, stream in enumerate(("joint", "bone", "motion")):
        paths.append(tmp_path / f"{stream}_scores.npz")
        save_scores(paths[-1], scores(stream, seed, shuffle=seed))
    return paths


@pytest.fixture
def run(capsys):
    def _run(*arguments):
        main([str(word) for word in arguments])
        return capsys.readouterr().out

    return _run


@pytest.fixture
def refuse(capsys):
    def _refuse(*arguments):
        with pytest.raises(SystemExit) as stopped:
            main([str(word) for word in arguments])
        out, err = capsys.readouterr()
        assert stopped.value.code == 2
        assert (out, err.count("\n")) == ("", 1)
        return err.strip()

    return _refuse


def accuracies(out):
    """Streams to top-1 and top-5, as printed."""
    lines = re.findall(
        r"^top-1 +([\d.]+) %, top-5 +([\d.]+) %  (.+?)(?:  \(weights.*)?$", out, re.M
    )
    return {streams: (float(top1), float(top5)) for top1, top5, streams in lines}


def by_hand(streams, weights):
    """Top-1 and top-5 of a weighted sum, clip by clip."""
    plain = [scores(stream, seed) for stream, seed in streams]
    hits = [0, 0]
    for row in range(12):
        total = [0.0] * 7
        for each, weight in zip(plain, weights, strict=True):
            for label in range(7):
                total[label] += weight * float(each.scores[row, label])
        ranked = sorted(range(7), key=lambda label: -total[label])
        hits[0] += row % 7 == ranked[0]
        hits[1] += row % 7 in ranked[:5]
    return tuple(round(100 * hit / 12, 2) for hit in hits)


JOINT, BONE, MOTION = ("joint", 0), ("bone", 1), ("motion", 2)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_singles_pairs_and_all_are_those_by_hand(weights, run, files):
    found = accuracies(run(*files, *(() if weights is None else ("--weights", *weights))))
    joint, bone, motion = weights or (1, 1, 1)
    assert found == {
        "joint": by_hand([JOINT], [1]),
        "bone": by_hand([BONE], [1]),
        "motion": by_hand([MOTION], [1]),
        "joint + bone": by_hand([JOINT, BONE], [joint, bone]),
        "joint + motion": by_hand([JOINT, MOTION], [joint, motion]),
        "bone + motion": by_hand([BONE, MOTION], [bone, motion]),
        "joint + bone + motion": by_hand([JOINT, BONE, MOTION], [joint, bone, motion]),
    }


def test_the_sum_is_of_raw_scores_in_float64():
    first, second = scores(seed=0), scores(seed=1)
    mixture = ensemble.mix([first, second], [0.6, 0.4], ["a", "b"])
    expected = 0.6 * first.scores.astype(np.float64) + 0.4 * second.scores.astype(np.float64)
    np.testing.assert_array_equal(mixture.scores, expected)
    assert mixture.scores.dtype == np.float64


def test_weights_change_the_sum():
    both = [scores(seed=0), scores(seed=1)]
    first = ensemble.mix(both, [1e6, 1.0], ["a", "b"])
    alone = ensemble.mix(both[:1], [1.0], ["a"])
    assert (first.scores.argmax(axis=1) == alone.scores.argmax(axis=1)).all()


def test_two_files_are_printed_alone_and_together_once(run, files):
    assert list(accuracies(run(*files[:2]))) == ["joint", "bone", "joint + bone"]


def test_four_files_have_singles_pairs_and_all(run, files, tmp_path):
    save_scores(tmp_path / "four.npz", scores("joint-motion", 5))
    assert len(accuracies(run(*files, tmp_path / "four.npz"))) == 4 + 6 + 1


def test_files_of_one_stream_go_by_their_path(run, files, tmp_path):
    save_scores(tmp_path / "other.npz", scores("joint", 5))
    assert str(files[0]) in accuracies(run(files[0], tmp_path / "other.npz"))
    save_scores(tmp_path / "silent.npz", scores(seed=6, about=False))
    assert str(tmp_path / "silent.npz") in accuracies(run(files[0], tmp_path / "silent.npz"))


def test_the_figures_are_written_where_asked(run, files, tmp_path):
    out = run(*files, "--output", tmp_path / "new" / "all.json", "--weights", *WEIGHTS)
    found = json.loads((tmp_path / "new" / "all.json").read_text())
    assert found["files"] == [str(path) for path in files]
    assert found["weights"] == list(WEIGHTS)
    assert found["clips"] == 12
    printed = list(accuracies(out).values())
    for each, (top1, top5) in zip(found["mixtures"], printed, strict=True):
        assert (round(each["top1"], 2), round(each["top5"], 2)) == (top1, top5)
    assert found["mixtures"][-1]["streams"] == ["joint", "bone", "motion"]
    clips = sum(each["clips"] for each in found["per_class"])
    right = sum(each["clips"] * each["top1"] for each in found["per_class"])
    assert right / clips == pytest.approx(found["mixtures"][-1]["top1"])


@pytest.mark.parametrize("word", ["auto", "search", "best", "AUTO"])
def test_weights_are_never_chosen_and_it_says_why(word, refuse, files):
    said = refuse(*files, "--weights", word)
    assert said.startswith(f"error: --weights {word}: weights are never chosen here, since only ")
    assert "the test part" in said


@pytest.mark.parametrize("words", [("1", "2"), ("1", "2", "x"), ("1", "0", "1"), ("1", "1", "nan")])
def test_weights_that_do_not_fit_are_refused(words, refuse, files):
    said = refuse(*files, "--weights", *words)
    wanted = "needs 3 numbers above 0, one for each file"
    assert said == f"error: --weights {' '.join(words)}: {wanted}"


def test_other_clips_labels_or_classes_are_refused(refuse, files, tmp_path):
    other = tmp_path / "other.npz"
    save_scores(other, scores(clips=11))
    assert refuse(files[0], other) == (
        f"error: {other} is not of the clips of {files[0]}: 1 are in one only, as S011; "
        "both must be of one data set and protocol"
    )
    good = scores()
    labels = good.labels.copy()
    labels[3] = 6
    save_scores(other, Scores(good.names, labels, good.scores, {}))
    assert refuse(files[0], other) == (
        f"error: {other} gives S003 class 6, {files[0]} class 3; one of them is of other labels"
    )
    save_scores(other, Scores(good.names, good.labels, good.scores[:, :6], {}))
    assert refuse(files[0], other) == f"error: {other} scores 6 classes, {files[0]} 7"
    save_scores(other, Scores(["S000", *good.names[:-1]], good.labels, good.scores, {}))
    said = f"error: {other} has two clips named S000; names must tell them apart"
    assert refuse(files[0], other) == said


def test_one_file_or_the_same_one_twice_is_refused(refuse, files):
    assert refuse(files[0]) == "error: an ensemble needs two files of scores or more"
    said = f"error: {files[0]} is given twice; it would count double"
    assert refuse(files[0], files[1], files[0]) == said


def test_a_missing_damaged_or_foreign_file_is_refused(refuse, files, tmp_path):
    gone = tmp_path / "gone.npz"
    said = f"error: no scores at {gone}; action_classification.py writes them"
    assert refuse(files[0], gone) == said
    gone.write_bytes(files[1].read_bytes()[:99])
    assert refuse(files[0], gone).startswith(f"error: {gone} is not a file of scores (")
    np.savez(gone, features=np.zeros(3))
    assert refuse(files[0], gone).startswith(f"error: {gone} is not a file of scores (")
    np.savez(gone, names=np.array([{}]), labels=np.zeros(1), scores=np.zeros((1, 2)))
    assert refuse(files[0], gone).startswith(f"error: {gone} is not a file of scores (")
    good = scores()
    save_scores(gone, Scores(good.names[:-1], good.labels, good.scores, {}))
    said = f"error: {gone}: 11 names do not fit scores of shape (12, 7)"
    assert refuse(files[0], gone) == said
    good.scores[2, 3] = np.nan
    save_scores(gone, good)
    said = f"error: {gone} has a score that is not finite; make it again"
    assert refuse(files[0], gone) == said
