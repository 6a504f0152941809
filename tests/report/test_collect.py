"""What a report says of a run, against sums of its own."""

import base64
import hashlib
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix

from dataset.actions import ACTIONS
from dataset.arrays import load_arrays
from dataset.packed import PackedSplit
from dataset.protocols import DATASETS
from tests.support.tiny import write_dataset
from tools.report.answers import answers, most_confused
from tools.report.clips import LARGEST, VIEWS, ClipStore, performer, quantise, show_views
from tools.report.curves import MOST_POINTS, TRAINING, curves
from tools.report.figures import chance, figures, published, wilson
from tools.report.folder import RunFolder
from tools.report.maps import SIDE, flat_map, neighbour_share


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    folder = write_dataset(tmp_path_factory.mktemp("data"), train=12, val=6)
    return PackedSplit.from_arrays(load_arrays(folder, "train"))


def decoded(clip):
    values = np.frombuffer(base64.b64decode(clip["data"]), np.int8)
    return values.reshape(clip["frames"], clip["bodies"], 25, 3) * clip["scale"]


def test_intervals_are_wilsons():
    for right, clips in ((0, 7), (3, 7), (7, 7), (95, 100), (8001, 16487)):
        expected = binomtest(right, clips).proportion_ci(method="wilson")
        assert wilson(right, clips) == pytest.approx([100 * expected.low, 100 * expected.high])


def test_chance_is_the_share_of_pairs_of_one_class():
    train, test = torch.tensor([0, 0, 0, 1, 2]), torch.tensor([0, 1, 1])
    pairs = [(a == b).item() for a in train for b in test]
    assert chance(train, test, 4) == pytest.approx(100 * sum(pairs) / len(pairs))


def test_a_clip_keeps_its_shape_within_half_a_step(split):
    store = ClipStore()
    place = store.add(split, 2, 24)  # every third clip has two bodies
    assert store.add(split, 2, 24) == place
    assert len(store.clips) == 1
    clip = store.clips[place]
    assert (clip["frames"], clip["bodies"], clip["name"]) == (24, 2, split.names[2])
    one = store.clips[store.add(split, 0, 8)]
    assert (one["frames"], one["bodies"]) == (8, 1)
    joints = torch.randn(5, 2, 25, 3, generator=torch.Generator().manual_seed(0))
    kept = quantise(joints)
    assert np.abs(decoded(kept) - joints.numpy()).max() <= 0.5001 * kept["scale"]
    assert np.abs(decoded(kept)).max() == pytest.approx(LARGEST * kept["scale"])


def test_an_empty_clip_is_stored_as_zeros():
    kept = quantise(torch.zeros(3, 2, 25, 3))
    assert kept["bodies"] == 1
    assert not decoded(kept).any()


def test_views_are_what_they_are_called(split):
    shown = show_views(split, [2], torch.Generator().manual_seed(0))[0]["views"]
    by_title = {view["title"]: view for view in shown}
    assert list(by_title) == [view.title for view in VIEWS]
    original = decoded(by_title["as recorded"]["clip"])
    step = 2 * max(view["clip"]["scale"] for view in shown)
    zeroed = by_title["corrupted to zero"]
    assert len(zeroed["touched"]) == 15
    corrupted = decoded(zeroed["clip"])
    rest = [joint for joint in range(25) if joint not in zeroed["touched"]]
    assert not corrupted[:, :, zeroed["touched"]].any()
    assert np.abs(corrupted[:, :, rest] - original[:, :, rest]).max() <= step
    mixed = by_title["corrupted by mixing"]
    left = [joint for joint in range(25) if joint not in mixed["touched"]]
    assert np.abs(decoded(mixed["clip"])[:, :, left] - original[:, :, left]).max() <= step
    sheared = decoded(by_title["sheared"]["clip"]).reshape(-1, 3)
    matrix, *_ = np.linalg.lstsq(original.reshape(-1, 3), sheared, rcond=None)
    assert np.allclose(np.diag(matrix), 1, atol=0.1)  # one linear map for all joints and frames
    assert np.abs(original.reshape(-1, 3) @ matrix - sheared).max() <= 2 * step


def test_performers_are_read_from_names():
    assert performer("S001C002P013R001A007.skeleton") == "13"
    assert performer("a5_s3_t2_skeleton.mat") == "3"
    assert performer("wave_once") is None


def test_classes_of_published_data_sets_have_names():
    for name, known in DATASETS.items():
        assert len(ACTIONS[name]) == len(set(ACTIONS[name])) == known.classes
    assert ACTIONS["ntu60"][0] == "drink water"
    assert ACTIONS["ntu60"][59] == "walk apart"
    assert ACTIONS["ntu120"][119] == "rock-paper-scissors"


def test_answers_agree_with_scikit_learn():
    generator = np.random.default_rng(0)
    labels, said = generator.integers(0, 5, (2, 200)).tolist()
    names = [f"clip {number}" for number in range(200)]
    found = answers("KNN", "", names, labels, said)
    matrix = np.zeros((5, 5), int)
    for truth, answer, number in found["counts"]:
        matrix[truth, answer] = number
    assert (matrix == confusion_matrix(labels, said)).all()
    assert len(found["mistakes"]) == 200 - np.trace(matrix)
    for label, clips, right, accuracy, low, high in found["classes"]:
        assert clips == labels.count(label)
        assert accuracy == pytest.approx(100 * right / clips)
        assert low < accuracy < high
    worst = max(
        ((truth, answer) for truth, answer, _ in found["counts"] if truth != answer),
        key=lambda pair: matrix[pair],
    )
    first = most_confused(found, 1)[0]
    place = names.index(first)
    assert matrix[labels[place], said[place]] == matrix[worst]


def test_a_class_that_was_only_said_has_no_accuracy():
    found = answers("KNN", "", ["a"], [0], [3])
    assert [3, 0, 0, None, None, None] in found["classes"]


def test_maps_fill_their_square_and_repeat_with_their_seed():
    generator = torch.Generator().manual_seed(0)
    groups = torch.arange(40) % 4
    features = 5 * torch.eye(4)[groups] + 0.1 * torch.randn(40, 4, generator=generator)
    places = np.array(flat_map(features, 0))
    assert places.min() == 0
    assert places.max() == SIDE
    assert flat_map(features, 0) == places.tolist()
    assert neighbour_share(features, groups) == 100
    assert neighbour_share(torch.randn(40, 4, generator=generator), groups) < 60
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    same = groups[:, None] == groups[None]
    assert apart[same].mean() < apart[~same].mean() / 2


def write_rows(path: Path, rows) -> None:
    path.mkdir(parents=True, exist_ok=True)
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (path / "checkpoint_0007.pth.tar").touch()


def row(epoch, batch, **values):
    return {"epoch": epoch, "batch": batch, "step": 10 * epoch + batch} | values


def test_a_folder_gives_its_newest_checkpoint_rows_and_results(tmp_path):
    folder = tmp_path / "run"
    write_rows(folder, [row(0, 10, loss=2.0)])
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 1, "ba')  # an interrupted run
    (folder / "checkpoint_0012.pth.tar").touch()
    mine = {"pretrained": {"path": str(folder / "checkpoint_0012.pth.tar")}}
    for place, content in (
        (folder / "knn", mine),
        (tmp_path / "beside", mine),
        (tmp_path / "other", {"pretrained": {"path": str(tmp_path / "else" / "x.pth.tar")}}),
        (tmp_path / "random", {"pretrained": {"path": "random"}}),
    ):
        place.mkdir()
        (place / "results.json").write_text(json.dumps(content))
    found = RunFolder.read(folder)
    assert found.checkpoint.name == "checkpoint_0012.pth.tar"
    assert found.rows == [row(0, 10, loss=2.0)]
    assert {place.name for place, _ in found.results} == {"knn", "beside"}
    assert [place.name for place, _ in found.untrained] == ["random"]
    (folder / "checkpoint_last.pth.tar").touch()
    assert RunFolder.read(folder).checkpoint.name == "checkpoint_last.pth.tar"
    named = RunFolder.read(folder / "checkpoint_0007.pth.tar")
    assert named.checkpoint.name == "checkpoint_0007.pth.tar"


def test_results_of_a_folder_that_was_moved_are_its_own_by_the_checkpoints_bytes(tmp_path):
    folder = tmp_path / "run"
    write_rows(folder, [row(0, 10, loss=2.0)])
    name = "checkpoint_0007.pth.tar"
    (folder / name).write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    for place, sha256 in (("mine", digest), ("not_mine", digest[::-1]), ("older", None)):
        (folder / place).mkdir()
        pretrained = {"path": f"elsewhere/run/{name}"} | ({"sha256": sha256} if sha256 else {})
        (folder / place / "results.json").write_text(json.dumps({"pretrained": pretrained}))
    assert [place.name for place, _ in RunFolder.read(folder).results] == ["mine"]


def test_what_a_runs_neighbours_compare_with_stands_beside_them(tmp_path):
    beside = {"eval/chance": 6.25, "eval/knn1_untrained": 31.92}
    write_rows(tmp_path / "run", [row(0, 0, **{"eval/knn1": 31.92}, **beside)])
    (found,) = curves(RunFolder.read(tmp_path / "run"))
    assert (found["name"], found["beside"]) == ("eval/knn1", "chance 6.2, before training 31.9")


def test_faults_of_a_folder_are_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        RunFolder.read(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="has no checkpoint"):
        RunFolder.read(tmp_path / "empty")
    write_rows(tmp_path / "run", [row(0, 10, loss=2.0)])
    metrics = tmp_path / "run" / "metrics.jsonl"
    metrics.write_text("broken\n" + metrics.read_text())
    with pytest.raises(ValueError, match="has broken rows, 1 of"):
        RunFolder.read(tmp_path / "run")


def test_curves_hold_every_number_over_epochs(tmp_path):
    rows = [
        row(e, b, instance=1.0 + e, clip=2.0, loss=3.0 - e, learning_rate=0.1)
        for e in range(3)
        for b in (5, 10)
    ]
    rows[3] |= {"eval/knn1": 40.0, "broken": math.inf}
    write_rows(tmp_path / "run", rows)
    found = curves(RunFolder.read(tmp_path / "run"))
    assert [each["name"] for each in found] == [
        *("eval/knn1", "loss", "clip (loss)", "instance (loss)", "learning rate"),
    ]
    assert {each["group"] for each in found} == {TRAINING}
    by_name = {each["name"]: each for each in found}
    assert by_name["loss"]["x"] == [0.5, 1, 1.5, 2, 2.5, 3]
    assert by_name["loss"]["y"] == [3, 3, 2, 2, 1, 1]
    assert (by_name["eval/knn1"]["x"], by_name["eval/knn1"]["y"]) == ([2.0], [40.0])
    assert by_name["eval/knn1"]["steady"]
    assert not by_name["loss"]["steady"]


def test_long_curves_are_averaged(tmp_path):
    values = np.random.default_rng(0).normal(size=1999)
    write_rows(tmp_path / "run", [row(e, 10, loss=float(x)) for e, x in enumerate(values)])
    found = curves(RunFolder.read(tmp_path / "run"))[0]
    assert len(found["x"]) <= MOST_POINTS
    assert found["y"][0] == pytest.approx(values[:4].mean(), rel=1e-4)


def probe(**more):
    one = {"mean": 80.0, "std": None, "runs": 1}
    best = {"mean": 81.0, "std": None, "runs": 1}
    base = {"script": "action_classification.py", "mode": "linear", "labels": {"fraction": 1.0}}
    base |= {"dataset": "ntu60", "protocol": "cross_view", "stream": "joint"}
    base |= {"encoder": {"kind": "GRU"}, "runs": []}
    base |= {"counts": {"train": 37646, "test": 18932, "classes": 60}}
    summary = {"last": {"top1": one, "top5": one}, "best": {"top1": best, "top5": best}}
    return base | {"summary": summary, "pretrained": {"path": "x"}} | more


def test_the_published_figure_stands_beside_what_it_compares_with_only():
    name = "linear probe (best epoch)"
    assert published(probe(), name)["top1"] == 88.6
    assert published(probe(encoder={"kind": "LSTM"}), name)["top1"] == 88.8
    assert published(probe(stream="bone"), name) is None
    assert published(probe(), "linear probe") is None
    few = {"train": 100, "test": 50, "classes": 60}
    assert published(probe(counts=few), name) is None
    assert published(probe(dataset="our_lab"), name) is None


def test_figures_stand_beside_the_untrained_encoder_of_the_same_kind(tmp_path):
    random = probe(pretrained={"path": "random"})
    random["summary"] = json.loads(json.dumps(random["summary"]).replace("80.0", "30.0"))
    other = probe(pretrained={"path": "random"}, encoder={"kind": "LSTM"})
    data = {"dataset": "ntu60", "protocol": "cross_view", "stream": "joint"}
    places = [(tmp_path, other), (tmp_path, random)]
    run = RunFolder(tmp_path, tmp_path, [], [(tmp_path, probe())], places)
    last, best = figures(run, data, 1.7)
    assert (last["name"], last["top1"], last["random"], last["chance"]) == (
        *("linear probe", 80.0, 30.0, 1.7),
    )
    assert (best["name"], best["top1"], best["published"]["top1"]) == (
        *("linear probe (best epoch)", 81.0, 88.6),
    )
    elsewhere = data | {"protocol": "cross_subject"}
    assert figures(run, elsewhere, 1.7)[0]["name"] == "linear probe on cross_view"


def test_a_run_without_metrics_has_no_curves(tmp_path):
    write_rows(tmp_path / "run", [])
    shutil.copy(tmp_path / "run" / "checkpoint_0007.pth.tar", tmp_path / "checkpoint_1.pth.tar")
    assert curves(RunFolder.read(tmp_path / "run")) == []
    assert curves(RunFolder.read(tmp_path / "checkpoint_1.pth.tar")) == []
