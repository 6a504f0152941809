"""action_retrieval.py end to end on tiny data."""

import json
import pickle
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import KNeighborsClassifier

import action_retrieval
from dataset.arrays import load_arrays
from tests.oracles.prepare import read_plain
from tests.oracles.probe import recomputed
from tests.support.other_formats import upright_body
from tests.support.raw_ntu import random_body, skeleton_text
from tests.support.tiny import write_checkpoint, write_dataset
from tools.prepare.__main__ import main as prepare


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    write_dataset(path)
    return path


@pytest.fixture
def run(evaluate):
    """Run the script; returns what it printed."""
    return partial(evaluate, action_retrieval.main, "--seed", "3")


def arrays(data, part):
    return load_arrays(data / "NTU-RGB-D-60-AGCN" / "xview", part)


def results(folder):
    return json.loads((folder / "results.json").read_text())


def names_file(path, names):
    path.write_text("".join(f"{name}\n" for name in names))
    return path


def scores(out):
    """Top-1, top-5 and mean average precision as printed, in percent."""
    top1 = re.search(r"^KNN-\d+  top-1 ([\d.]+) %", out, re.M)
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
    assert ("<- the metric the paper reports" in out) == (k == 1)
    right = classifier.predict(features[1]) == labels[1]
    found = results(path.with_name("checkpoint_0450_ntu60_cross_view_joint_retrieval"))
    for each in found["per_class"]:
        mine = labels[1] == each["class"]
        share = 100 * right[mine].mean() if mine.any() else None
        assert each[f"top1_at_{k}"] == pytest.approx(share)
        assert each["clips"] == mine.sum()


def test_the_encoder_is_shown_unchanged(run, path):
    proof = re.search(r"unchanged: sha256 (\w+) before, (\w+) after", run("--pretrained", path))
    assert proof[1] == proof[2]


def test_a_random_encoder_is_labelled_and_seeded(run):
    shape = ("--pretrained", "random", "--encoder", "LSTM", "--hidden-size", "8")
    out = run(*shape)
    assert "retrieval with RANDOM encoder, not pre-trained, seed 3" in out
    assert "LSTM, hidden size 8" in out
    assert scores(out) == scores(run(*shape))
    (file,) = (path for path in Path.cwd().rglob("*") if path.is_file())
    folder = Path("checkpoints/random/LSTM_ntu60_cross_view_joint_retrieval")
    assert file == Path.cwd() / folder / "results.json"


def test_the_batch_size_changes_no_score(run, path):
    assert scores(run("--pretrained", path, "-b", "5")) == scores(run("--pretrained", path))


def test_features_are_saved_where_asked(run, path, data):
    assert "features, labels" not in run("--pretrained", path)
    out = run("--pretrained", path, "--save-features", "out/f.npz")
    assert "features, labels and names written to out/f.npz" in out
    with np.load("out/f.npz", allow_pickle=False) as saved:
        assert saved["train_features"].shape == (24, 32)
        assert saved["test_features"].shape == (12, 32)
        assert saved["test_features"].dtype == np.float32
        for part, name in (("train", "train"), ("test", "val")):
            theirs = arrays(data, name)
            assert saved[f"{part}_labels"].tolist() == theirs.labels.tolist()
            assert saved[f"{part}_names"].tolist() == theirs.names


@pytest.mark.parametrize("kind", ["GRU", "Transformer"])
def test_saved_features_are_of_the_query_network(run, data, tmp_path, kind):
    path = tmp_path / "trained" / "checkpoint_0450.pth.tar"
    plain = write_checkpoint(path, kind)
    run("--pretrained", path, "--save-features", "out/f.npz")
    with np.load("out/f.npz", allow_pickle=False) as saved:
        for part, name in (("train", "train"), ("test", "val")):
            clips = arrays(data, name)
            query, key = (
                recomputed(network, clips.data, clips.num_frames, "joint")(range(len(clips.names)))
                for network in (plain.encoder_q, plain.encoder_k)
            )
            features = torch.from_numpy(saved[f"{part}_features"])
            torch.testing.assert_close(features, query, atol=1e-5, rtol=0)
            assert (query - key).abs().mean() > 0.01  # so the other network would be seen


def test_saved_features_appear_whole(run, path, monkeypatch, capsys):
    def break_off(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    run("--pretrained", path, "--save-features", "out/f.npz")
    before = Path("out/f.npz").read_bytes()
    monkeypatch.setattr(np, "savez", break_off)
    with pytest.raises(SystemExit):
        run("--pretrained", path, "--save-features", "out/f.npz")
    assert Path("out/f.npz").read_bytes() == before
    assert [entry.name for entry in Path("out").iterdir()] == ["f.npz"]


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


def test_several_k_at_once_are_those_one_by_one(run, path):
    out = run("--pretrained", path, "--knn-neighbours", "1", "5", "20")
    found = results(path.with_name("checkpoint_0450_ntu60_cross_view_joint_retrieval"))
    assert list(found["at"]) == ["1", "5", "20"]
    for k in (1, 5, 20):
        alone = run("--pretrained", path, "--knn-neighbours", k)
        line = re.search(rf"^KNN-{k}  top-1 .*$", out, re.M)[0]
        assert line in alone.splitlines()
        assert f"top-1 {found['at'][str(k)]['top1']:.2f} %" in line
        if k > 1:
            assert f"recall@{k} {found['at'][str(k)]['recall']:.2f} %" in line
    recalls = [found["at"][k]["recall"] for k in found["at"]]
    assert recalls == sorted(recalls)
    assert recalls[0] == found["at"]["1"]["top1"]
    assert recalls[1] == found["top5"]


def test_results_say_what_was_looked_up_in_what_and_each_class(run, path, data, tmp_path):
    folder = tmp_path / "out"
    out = run("--pretrained", path, "--knn-neighbours", "1", "3", "--output-path", folder)
    found = results(folder)
    assert f"results written to {folder}" in out
    assert found["script"] == "action_retrieval.py"
    assert found["gallery"] == {"what": "train", "clips": 24}
    assert found["query"] == {"what": "val", "clips": 12}
    assert found["settings"]["search"]["neighbours"] == [1, 3]
    assert found["pretrained"]["path"] == str(path)
    for name in ("top1_at_1", "top1_at_3", "recall_at_1", "recall_at_3", "average_precision"):
        clips = [each["clips"] for each in found["per_class"]]
        shares = [each[name] for each in found["per_class"]]
        assert clips == [2] * 6 + [0] * 54
        assert all(
            (share is None) == (count == 0) for share, count in zip(shares, clips, strict=True)
        )
        mean = sum(share * count for share, count in zip(shares, clips, strict=True) if count) / 12
        kind, _, k = name.partition("_at_")
        whole = found["at"][k][kind] if k else found["mean_average_precision"]
        assert mean == pytest.approx(whole)


def test_a_gallery_and_queries_of_ones_own_are_those_named(run, path, data, tmp_path):
    train, test = (arrays(data, part).names for part in ("train", "val"))
    gallery = names_file(tmp_path / "mine.txt", [*test[:4], *train[::2]])
    query = names_file(
        tmp_path / "theirs.txt", [name.removesuffix(".skeleton") for name in train[1:9:2]]
    )
    given = ("--pretrained", path, "--gallery", gallery, "--query", query)
    run(*given, "--save-features", "chosen.npz")
    folder = path.with_name("checkpoint_0450_ntu60_cross_view_joint_retrieval_theirs_in_mine")
    assert results(folder)["gallery"] == {"what": str(gallery), "clips": 16}
    run("--pretrained", path, "--save-features", "all.npz")
    with np.load("chosen.npz") as chosen, np.load("all.npz") as whole:
        assert chosen["train_names"].tolist() == [*test[:4], *train[::2]]
        assert chosen["test_names"].tolist() == train[1:9:2]
        expected = [whole["test_features"][:4], whole["train_features"][::2]]
        np.testing.assert_allclose(chosen["train_features"], np.concatenate(expected), atol=1e-6)
        np.testing.assert_allclose(
            chosen["test_features"], whole["train_features"][1:9:2], atol=1e-6
        )
        assert chosen["test_labels"].tolist() == whole["train_labels"][1:9:2].tolist()


def test_the_parts_may_change_places(run, path, tmp_path):
    run("--pretrained", path, "--gallery", "val", "--query", "train", "--output-path", tmp_path)
    assert results(tmp_path)["gallery"]["clips"] == 12
    assert results(tmp_path)["query"]["clips"] == 24


def test_a_clip_that_would_find_itself_is_an_error(refuse, path, data, tmp_path):
    name = arrays(data, "train").names[3]
    query = names_file(tmp_path / "q.txt", [name])
    assert refuse("--pretrained", path, "--query", query) == (
        f"error: --query {query}: 1 of its clips are in --gallery train too, as {name}, and would "
        "find themselves; leave them out of one"
    )


def test_names_that_do_not_fit_are_an_error(refuse, path, data, tmp_path):
    name = arrays(data, "val").names[0]
    known = f"; a name of this split is {arrays(data, 'train').names[0]}"
    given = ("--pretrained", path, "--query")
    said = refuse(*given, tmp_path / "gone")
    assert said == f"error: --query {tmp_path}/gone: neither train, val nor a file of sample names"
    file = names_file(tmp_path / "q.txt", [name, "A", "B"])
    assert (
        refuse(*given, file) == f"error: --query {file}: 2 of its names are of no clip, as A{known}"
    )
    names_file(file, [name, name.removesuffix(".skeleton")])
    assert refuse(*given, file) == f"error: --query {file}: names {name} twice"
    names_file(file, [])
    assert refuse(*given, file) == f"error: --query {file}: empty{known}"
    file.write_bytes(b"\xff\xfe")
    said = f"error: --query {file}: it is not text; give one sample name a line"
    assert refuse(*given, file) == said


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Raw recordings, prepared, and their folder."""
    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("prepared")
    generator = np.random.default_rng(0)
    for camera in (1, 2, 3):
        for action in (1, 2, 3, 4):
            body = upright_body(generator, 30 + 5 * action)
            performer = 3 if camera == 1 else 1  # who is tested in either protocol, and who not
            name = f"S001C{camera:03}P{performer:03}R001A{action:03}.skeleton"
            (raw / name).write_text(skeleton_text([[joints] for joints in body], end="\n"))
    prepare(["ntu", "--raw", str(raw), "--out", str(out), "-j", "1"])
    return raw, out


LINE = re.compile(r"^ *(\d+)  distance (-?[\d.]+)  action +(\d+)  (S\w+\.skeleton)$", re.M)


def test_a_recording_of_the_gallery_finds_itself_at_no_distance(run, prepared, path):
    raw, out = prepared
    name = "S001C002P001R001A003.skeleton"
    said = run("--data-path", out, "--pretrained", path, "--query-file", raw / name)
    lines = LINE.findall(said)
    assert [int(line[0]) for line in lines] == list(range(1, 9))  # all 8 training clips
    assert lines[0][3] == name
    assert float(lines[0][1]) == pytest.approx(0, abs=1e-6)
    assert all(int(line[3][17:20]) == int(line[2]) for line in lines)
    distances = [float(line[1]) for line in lines]
    assert distances == sorted(distances)
    assert "top-1" not in said


def test_a_recording_is_listed_as_far_as_its_prepared_clip(run, prepared, path):
    raw, out = prepared
    given = ("--data-path", out, "--pretrained", path)
    run(*given, "--save-features", "f.npz")
    with np.load("f.npz") as saved:
        row = saved["test_names"].tolist().index("S001C001P003R001A002.skeleton")
        cosines = cosine_similarity(
            saved["test_features"][[row]].astype(float), saved["train_features"]
        )
        names = saved["train_names"][np.argsort(-cosines[0])][:3].tolist()
    query = raw / "S001C001P003R001A002.skeleton"
    out = run(*given, "--query-file", query, "--knn-neighbours", "1", "3")
    lines = LINE.findall(out)
    assert [line[3] for line in lines] == names
    found = [float(line[1]) for line in lines]
    assert found == pytest.approx(sorted(1 - cosines[0])[:3], abs=1e-5)
    assert re.search(r"^action by vote of the nearest: \d+ by 1, \d+ by 3$", out, re.M)


def test_a_recording_may_have_any_name_and_gallery(run, prepared, path, tmp_path):
    raw, out = prepared
    mine = tmp_path / "my clip.skeleton"
    mine.write_bytes((raw / "S001C001P003R001A002.skeleton").read_bytes())
    given = ("--data-path", out, "--pretrained", path, "--gallery", "val")
    (first, *_) = LINE.findall(run(*given, "--query-file", mine))
    assert first[3] == "S001C001P003R001A002.skeleton"


def test_a_recording_that_cannot_be_compared_is_an_error(refuse, prepared, path, tmp_path):
    raw, out = prepared
    clip = tmp_path / "clip.skeleton"
    given = ("--data-path", out, "--pretrained", path, "--query-file", clip)
    assert refuse(*given) == f"error: --query-file {clip}: no such file"
    text = (raw / "S001C001P003R001A002.skeleton").read_text()
    clip.write_text(text[: len(text) // 2])
    assert refuse(*given).startswith(f"error: --query-file {clip}: it is truncated")
    clip.write_text("2\n0\n0\n")
    assert refuse(*given) == f"error: --query-file {clip}: there is nobody in it"
    clip.write_text(text)
    short = tmp_path / "short" / "pku_part1_frame50" / "xsub"
    short.mkdir(parents=True)
    clips = np.full((2, 3, 50, 25, 2), 0.2, dtype=np.float32)  # metres: a human's spine
    clips[:, :, :, 20] = 0  # where 50-frame data has its origin
    for part in ("train", "val"):
        np.save(short / f"{part}_position.npy", clips)
        (short / f"{part}_label.pkl").write_bytes(pickle.dumps((["a", "b"], [0, 1])))
    other = ("--data-path", tmp_path / "short", "--finetune-dataset", "pku_part1")
    said = refuse(*given, *other, "--protocol", "cross_subject")
    assert f"--query-file {clip}: {short} has clips of 50 frames" in said


def test_an_array_of_a_recording_is_looked_up_like_the_recording(run, prepared, path, tmp_path):
    raw, out = prepared
    clip = raw / "S001C001P003R001A002.skeleton"
    body = read_plain(clip)[..., 0].transpose(1, 2, 0)  # (F, 25, 3)
    np.save(tmp_path / "clip.npy", body)
    given = ("--data-path", out, "--pretrained", path, "--query-file")
    assert LINE.findall(run(*given, tmp_path / "clip.npy")) == LINE.findall(run(*given, clip))


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """One's own recordings of Human3.6M's joints in millimetres, prepared, and their folder."""
    raw, out = tmp_path_factory.mktemp("own"), tmp_path_factory.mktemp("own_prepared")
    generator = np.random.default_rng(1)
    for person in ("anna", "ben"):
        for name in ("wave", "kick_ball"):
            np.save(raw / f"{person}-{name}.npy", 1000 * random_body(generator, 20)[:, :17])
    described = {
        "name": "our_lab",
        "classes": ["kick_ball", "wave"],
        "pattern": "(?P<who>[a-z]+)-(?P<class>[a-z_]+)",
        "protocols": {"cross_subject": {"by": "who", "train": ["anna"]}},
        "joints": "h36m17",
        "unit": "mm",
    }
    (raw / "dataset.json").write_text(json.dumps(described))
    prepare(["custom", "--raw", str(raw), "--out", str(out), "-j", "1"])
    return raw, out


OURS = ("--finetune-dataset", "our_lab", "--protocol", "cross_subject", "--data-path")


def test_ones_own_array_is_read_as_its_data_set_describes_and_classes_are_named(run, ours, path):
    raw, out = ours
    said = run(*OURS, out, "--pretrained", path, "--query-file", raw / "anna-wave.npy")
    line = r"^ *1  distance -?0\.000000  action +wave  anna-wave\.npy$"
    assert re.search(line, said, re.M)
    assert re.search(r"^ *2  distance [\d.]+  action kick_ball  anna-kick_ball\.npy$", said, re.M)
    assert re.search(r"^action by vote of the nearest: (wave|kick_ball) by 2$", said, re.M)


def test_an_array_of_another_form_is_an_error(refuse, ours, path, tmp_path):
    _, out = ours
    clip = tmp_path / "clip.npy"
    given = (*OURS, out, "--pretrained", path, "--query-file", clip)
    for array, fault in (
        (np.ones((5, 25, 3)), "its shape is (5, 25, 3), not (F, 17, 3) or (bodies, F, 17, 3)"),
        (np.ones((301, 17, 3)), "it has 301 frames, not 1 to 300"),
        (np.ones((0, 17, 3)), "it is not a whole .npy file (0 bytes follow a header"),
        (np.full((5, 17, 3), np.nan), "it has a coordinate that is not finite in frame 0"),
        (np.zeros((5, 17, 3)), "there is nobody in it"),
    ):
        np.save(clip, array)
        assert refuse(*given).startswith(f"error: --query-file {clip}: {fault}")


def test_results_name_the_classes_of_sets_whose_classes_have_names(run, ours, path, tmp_path):
    _, out = ours
    run(*OURS, out, "--pretrained", path, "--output-path", tmp_path / "results")
    classes = results(tmp_path / "results")["per_class"]
    assert [(each["class"], each["name"]) for each in classes] == [(0, "kick_ball"), (1, "wave")]


def test_results_name_the_classes_of_published_sets_too(run, data, path, tmp_path):
    run("--data-path", data, "--pretrained", path, "--output-path", tmp_path / "results")
    first, *_ = results(tmp_path / "results")["per_class"]
    assert (first["class"], first["name"]) == (0, "drink water")


def test_results_of_other_settings_are_replaced_on_demand_only(data, path, tmp_path, capsys):
    given = ["--data-path", str(data), "--pretrained", str(path), "--device", "cpu", "--seed", "3"]
    given += ["--output-path", str(tmp_path), "--knn-neighbours", "1"]
    action_retrieval.main(given)
    before = (tmp_path / "results.json").read_bytes()
    action_retrieval.main(given)  # the same evaluation may run again
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        action_retrieval.main([*given, "--knn-neighbours", "3"])
    said = capsys.readouterr()
    assert stopped.value.code == 2
    assert said.err == (
        f"error: {tmp_path / 'results.json'} was made with neighbours [1], not [3]; replace it "
        "with --overwrite or choose another --output-path\n"
    )
    assert "top-1" not in said.out
    assert (tmp_path / "results.json").read_bytes() == before
    action_retrieval.main([*given, "--knn-neighbours", "3", "--overwrite"])
    assert (tmp_path / "results.json").read_bytes() != before
