"""One path from a recording to a feature, whoever walks it: predict, the hub, --query-file."""

import json
import re
import shutil

import numpy as np
import pytest
import torch

import action_classification
import action_retrieval
from dataset.actions import ACTIONS
from dataset.arrays import SplitArrays, load_arrays
from dataset.packed import PackedSplit
from tests.oracles.prepare import normalise_plain
from tests.prepare.test_bvh import body, bvh_text, expected, motion
from tests.prepare.test_custom import LIMBS_OF, other_skeleton
from tests.support.paths import ROOT
from tests.support.raw_ntu import random_body, skeleton_text
from tests.support.tiny import write_checkpoint
from tools import predict
from tools.checkpoint import file_sha256, load_encoder, read
from tools.evaluation.features import extract
from tools.prepare.__main__ import main as prepare

CLIP = "S001C001P003R001A002"
FOLDER = "NTU-RGB-D-60-AGCN/xview"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Recordings, and what becomes of them in both forms: `raw` of .skeleton and .npy, `out`."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "raw").mkdir()
    generator = np.random.default_rng(0)
    for camera in (1, 2, 3):
        for action in (1, 2, 3, 4):
            body = np.float32(random_body(generator, 30 + 5 * action).round(4))
            performer = 3 if camera == 1 else 1
            name = f"S001C{camera:03}P{performer:03}R001A{action:03}"
            text = skeleton_text([[joints] for joints in body], end="\n")
            (folder / "raw" / f"{name}.skeleton").write_text(text)
            np.save(folder / f"{name}.npy", body)
    prepare(["ntu", "--raw", str(folder / "raw"), "--out", str(folder), "-j", "1"])
    write_checkpoint(folder / "trained" / "checkpoint_0450.pth.tar")
    return folder


def train(data, folder, *more):
    """Train a classifier of the tiny checkpoint in a folder of its own; return its file."""
    shutil.copytree(data / "trained", folder / "trained")
    given = ["--data-path", str(data), "--device", "cpu", "--seed", "3", "--epochs", "2"]
    pretrained = [] if "supervised" in more else ["--pretrained", f"{folder}/trained/{START}"]
    action_classification.main(
        [*given, "--schedule", "1", *pretrained, *more, "--output-path", f"{folder}/scored"]
    )
    return folder / "scored" / "joint_model_last.pth.tar"


START = "checkpoint_0450.pth.tar"


@pytest.fixture(scope="module")
def classifier(data, tmp_path_factory):
    return train(data, tmp_path_factory.mktemp("linear"), "--lr", "0.5", "--batch-size", "4")


def say(capsys, *arguments):
    capsys.readouterr()
    predict.main([str(word) for word in (*arguments, "--device", "cpu")])
    return capsys.readouterr().out


def refuse(capsys, *arguments):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        say(capsys, *arguments)
    out, err = capsys.readouterr()
    assert (stopped.value.code, out, err.count("\n")) == (2, "", 1)
    return err.strip()


def test_the_likeliest_classes_are_those_of_the_prepared_clip(data, classifier, capsys):
    found = json.loads(
        say(capsys, "--classifier", classifier, "--json", data / "raw" / f"{CLIP}.skeleton")
    )
    assert [each["clip"] for each in found] == [str(data / "raw" / f"{CLIP}.skeleton")]
    test = load_arrays(data / FOLDER, "val")
    with np.load(classifier.with_name("joint_scores.npz")) as saved:
        scores = torch.from_numpy(saved["scores"])[test.names.index(f"{CLIP}.skeleton")]
    likely = scores.softmax(dim=0).topk(5)
    classes = found[0]["classes"]
    assert [each["class"] - 1 for each in classes] == likely.indices.tolist()
    assert [each["name"] for each in classes] == [
        ACTIONS["ntu60"][label] for label in likely.indices.tolist()
    ]
    given = [each["probability"] for each in classes]
    assert given == pytest.approx(likely.values.tolist(), rel=1e-4)
    assert found[0]["nearest"] == []


def test_an_array_of_the_same_recording_is_named_alike_in_any_order_of_joints(
    data, classifier, capsys, tmp_path
):
    order = np.random.default_rng(0).permutation(27)[:25]
    wide = np.zeros((40, 27, 3), np.float32)
    wide[:, order] = np.load(data / f"{CLIP}.npy")
    np.save(tmp_path / "wide.npy", wide)
    (tmp_path / "joints.json").write_text(json.dumps(order.tolist()))
    (tmp_path / "dataset.json").write_text(json.dumps({"joints": order.tolist()}))
    skeleton = say(capsys, "--classifier", classifier, data / "raw" / f"{CLIP}.skeleton")
    array = say(capsys, "--classifier", classifier, data / f"{CLIP}.npy")
    assert array.splitlines()[1:] == skeleton.splitlines()[1:]
    for joints in ("joints.json", "dataset.json"):
        given = ("--joints", tmp_path / joints, tmp_path / "wide.npy")
        said = say(capsys, "--classifier", classifier, *given)
        assert said.splitlines()[1:] == skeleton.splitlines()[1:]


def test_the_nearest_training_clips_are_listed_where_they_lie(data, classifier, capsys):
    clip = data / "raw" / "S001C002P001R001A003.skeleton"
    given = ("--data-path", data, "--nearest", "3", "--top", "2")
    said = say(capsys, "--classifier", classifier, *given, clip)
    lines = said.splitlines()
    assert len(lines) == 1 + 2 + 3
    assert re.fullmatch(r"  distance 0.000000  action   3  S001C002P001R001A003.skeleton", lines[3])


@pytest.mark.parametrize("mode", ["finetune", "supervised"])
def test_a_classifier_with_an_encoder_of_its_own_needs_no_checkpoint(data, tmp_path, capsys, mode):
    more = ("--encoder", "GRU", "--hidden-size", "8") if mode == "supervised" else ()
    file = train(data, tmp_path, "--mode", mode, *more)
    shutil.rmtree(tmp_path / "trained")
    clip = data / "raw" / f"{CLIP}.skeleton"
    (found,) = json.loads(say(capsys, "--classifier", file, "--json", "--top", "60", clip))
    test = load_arrays(data / FOLDER, "val")
    with np.load(file.with_name("joint_scores.npz")) as saved:
        scores = torch.from_numpy(saved["scores"])[test.names.index(clip.name)].softmax(dim=0)
    given = {each["class"] - 1: each["probability"] for each in found["classes"]}
    assert [given[label] for label in range(60)] == pytest.approx(scores.tolist(), rel=1e-4)


def test_a_moved_run_still_finds_its_encoder_and_another_one_is_refused(
    data, classifier, capsys, tmp_path
):
    shutil.copytree(classifier.parents[1], tmp_path / "moved")
    file = tmp_path / "moved" / "scored" / classifier.name
    clip = data / "raw" / f"{CLIP}.skeleton"
    assert say(capsys, "--classifier", file, clip) == say(capsys, "--classifier", classifier, clip)
    write_checkpoint(tmp_path / "other.pth.tar", hidden_size=4)
    said = refuse(capsys, "--classifier", file, "--pretrained", tmp_path / "other.pth.tar", clip)
    assert "was trained on another encoder" in said


def test_what_cannot_be_named_is_one_line(data, classifier, capsys, tmp_path):
    given = ("--classifier", classifier)
    clip = data / "raw" / f"{CLIP}.skeleton"
    assert refuse(capsys, *given, tmp_path / "no.npy") == f"error: {tmp_path}/no.npy: no such file"
    assert "is missing" in refuse(capsys, *given)
    assert "no classifier at" in refuse(capsys, "--classifier", tmp_path / "no.tar", clip)
    said = refuse(capsys, "--classifier", data / "trained" / START, clip)
    assert "is not a classifier of action_classification.py" in said
    for array, fault in (
        (np.zeros((301, 25, 3)), "it has 301 frames, not 1 to 300"),
        (np.zeros((9, 25, 3)), "there is nobody in it"),
        (np.full((9, 25, 3), np.nan), "a coordinate that is not finite"),
        (np.zeros((9, 20, 3)), "its shape is (9, 20, 3)"),
    ):
        np.save(tmp_path / "odd.npy", array)
        assert fault in refuse(capsys, *given, tmp_path / "odd.npy")
    (tmp_path / "joints.json").write_text("[1, 2]")
    said = refuse(capsys, *given, "--joints", tmp_path / "joints.json", clip)
    assert "--joints" in said
    assert "joints is not a list of 25 whole numbers" in said
    said = refuse(capsys, *given, "--joints", "openpose", clip)
    assert said.startswith("error: --joints openpose: known are kinect25, kinect20, ")
    assert said.endswith("but there is no file openpose")
    said = refuse(capsys, *given, "--unit", "ft", clip)
    assert said == "error: --unit ft: known are m, cm, mm, inch or a number of metres above 0"
    np.save(tmp_path / "odd.npy", np.ones((9, 17, 3)))
    said = refuse(capsys, *given, tmp_path / "odd.npy")
    assert said.endswith("or (bodies, F, 25, 3); joints h36m17 have 17")


def test_torch_hub_gives_a_frozen_encoder_whose_features_are_the_evaluations(data):
    path = data / "trained" / START
    encoder = torch.hub.load(str(ROOT), "hico", source="local", checkpoint=path, device="cpu")
    method, _ = load_encoder(str(path), report=lambda line: None)
    split = PackedSplit.from_arrays(load_arrays(data / FOLDER, "val"))
    expected = extract(method, split, "joint")
    clips = [np.load(data / name.replace(".skeleton", ".npy")) for name in split.names]
    torch.testing.assert_close(encoder.embed(clips), expected, rtol=1e-4, atol=1e-5)
    one = encoder.embed(torch.from_numpy(clips[0]))
    torch.testing.assert_close(one, expected[0], rtol=1e-4, atol=1e-5)
    two = encoder.embed(np.stack([clips[0], np.zeros_like(clips[0])]))  # an absent second body
    assert torch.equal(two, one)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not encoder.method.training
    with pytest.raises(ValueError, match="clip 1: there is nobody in it"):
        encoder.embed([clips[0], 0 * clips[0]])


def test_a_classifier_says_what_its_user_needs(classifier):
    about = read(classifier)["about"]
    assert about["pretrained"] == f"../trained/{START}"
    assert about["classes"] == list(ACTIONS["ntu60"])
    assert file_sha256(classifier.parent / about["pretrained"])


MOTIONS = ("cmu", "bandai_namco", "100style")
KINDS = (*MOTIONS, *LIMBS_OF, "kinect25")


def recording(kind, folder):
    """Write one recording of other joints, in inches; return its file and what it is in ours."""
    if kind in MOTIONS:
        root = body(kind)
        rows = motion(root, 20, 5)
        (folder / "clip.bvh").write_text(bvh_text(root, rows))
        return folder / "clip.bvh", expected(root, rows, kind, 0.0254)
    clip = np.zeros((3, 20, 25, 2), np.float32)
    clip[..., 0] = random_body(np.random.default_rng(5), 20).transpose(2, 0, 1)
    theirs = clip[..., 0].transpose(1, 2, 0)
    if kind in LIMBS_OF:
        theirs = other_skeleton(kind, clip)
        for ours, limb in LIMBS_OF[kind].items():
            clip[:, :, ours, 0] = theirs[:, list(limb)].mean(axis=1).T
    np.save(folder / "clip.npy", theirs / 0.0254)
    return folder / "clip.npy", clip


def feature_of(data, parsed):
    """Its feature (F,), by the plain normalisation."""
    frames, label = np.array([parsed.shape[1]]), np.array([0])
    arrays = SplitArrays(data, normalise_plain(parsed)[None], frames, label, ["clip"])
    method, _ = load_encoder(str(data / "trained" / START), report=lambda line: None)
    return extract(method, PackedSplit.from_arrays(arrays), "joint")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_recording_of_any_known_joints_has_one_feature_on_every_way(
    data, classifier, capsys, tmp_path, kind
):
    clip, parsed = recording(kind, tmp_path)
    feature = feature_of(data, parsed)
    given = {"joints": kind, "unit": "inch"}

    checkpoint = data / "trained" / START
    encoder = torch.hub.load(
        str(ROOT), "hico", source="local", checkpoint=checkpoint, device="cpu", **given
    )
    torch.testing.assert_close(encoder.embed(clip), feature, rtol=1e-4, atol=1e-4)
    if clip.suffix == ".npy":
        torch.testing.assert_close(encoder.embed(np.load(clip)), encoder.embed(str(clip)))

    options = [word for name, value in given.items() for word in (f"--{name}", value)]
    named = say(
        capsys, "--classifier", classifier, "--data-path", data, "--json", "--top", "60",
        *options, clip,
    )  # fmt: skip
    (found,) = json.loads(named)
    state = read(classifier)["state_dict"]
    scores = (state["fc.weight"] @ feature + state["fc.bias"]).softmax(dim=0)
    likely = {each["class"] - 1: each["probability"] for each in found["classes"]}
    assert [likely[label] for label in range(60)] == pytest.approx(scores.tolist(), rel=1e-3)

    train = PackedSplit.from_arrays(load_arrays(data / FOLDER, "train"))
    gallery = extract(encoder.method, train, "joint")
    away = 1 - torch.nn.functional.cosine_similarity(gallery.double(), feature.double()[None])
    nearest = [(train.names[row], away[row].item()) for row in away.argsort()[:5].tolist()]
    distances = [near["distance"] for near in found["nearest"]]
    assert [near["name"] for near in found["nearest"]] == [name for name, _ in nearest]
    assert distances == pytest.approx([each for _, each in nearest], abs=1e-4)

    capsys.readouterr()
    where = ("--data-path", data, "--pretrained", checkpoint, "--device", "cpu")
    action_retrieval.main([str(word) for word in (*where, "--query-file", clip, *options)])
    listed = capsys.readouterr().out.splitlines()
    for name, distance in zip((name for name, _ in nearest), distances, strict=True):
        assert any(f"distance {distance:.6f}" in line and name in line for line in listed)


def test_joints_and_unit_may_stand_in_a_file_and_an_option_goes_before(data, tmp_path):
    clip, parsed = recording("h36m17", tmp_path)
    feature = feature_of(data, parsed)
    (tmp_path / "dataset.json").write_text(json.dumps({"joints": "h36m17", "unit": "m"}))
    encoder = torch.hub.load(
        str(ROOT), "hico", source="local", checkpoint=data / "trained" / START, device="cpu",
        joints=tmp_path / "dataset.json", unit=0.0254,
    )  # fmt: skip
    torch.testing.assert_close(encoder.embed(clip), feature, rtol=1e-4, atol=1e-4)


def test_a_long_recording_is_cut_where_asked(data, classifier, capsys, tmp_path):
    long = np.float32(random_body(np.random.default_rng(1), 311))
    np.save(tmp_path / "clip.npy", long)
    given = ("--classifier", classifier)
    said = refuse(capsys, *given, tmp_path / "clip.npy")
    assert said.endswith("not 1 to 300; cut it, or let --cut head or --cut centre do so")
    cut = say(capsys, *given, "--cut", "centre", tmp_path / "clip.npy").splitlines()
    np.save(tmp_path / "clip.npy", long[5:305])
    assert cut == say(capsys, *given, tmp_path / "clip.npy").splitlines()


def test_the_hub_refuses_joints_and_units_that_make_no_sense(data):
    def load(**given):
        checkpoint = data / "trained" / START
        return torch.hub.load(str(ROOT), "hico", source="local", checkpoint=checkpoint, **given)

    with pytest.raises(ValueError, match="unit is not m, cm, mm, inch"):
        load(unit="ft")
    with pytest.raises(ValueError, match="joints is not a list of 25"):
        load(joints=[1, 2])
