"""action_classification.py in all its modes: files, figures, subsets, transfer, interruption."""

import hashlib
import json
import os
import re
import shutil
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import action_classification
from dataset.arrays import load_arrays
from tests.support.tiny import save_arrays, write_checkpoint, write_dataset
from tools.evaluation.finetune import FineTuner
from tools.evaluation.probe import LinearProbe
from tools.evaluation.results import load_scores
from tools.evaluation.subset import draw_subset, run_seed, subset_generator

SHORT = ("--epochs", "3", "--batch-size", "7", "--schedule", "2", "--lr", "0.05", "--seed", "3")
EPOCH = re.compile(r"epoch \d+: .*")
SMALL = ("--encoder", "Transformer", "--hidden-size", "8", "--granularity", "2")
FINETUNED = "checkpoint_0450_ntu60_cross_view_joint_finetune"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    write_dataset(path)
    write_dataset(path, "utd_mhad", "cross_subject", seed=1)
    return path


@pytest.fixture
def run(evaluate):
    """Run the script; returns what it printed."""
    return partial(evaluate, action_classification.main, *SHORT)


@pytest.fixture
def path(tmp_path):
    target = tmp_path / "trained" / "checkpoint_0450.pth.tar"
    write_checkpoint(target, "Transformer")
    return target


def epochs(out):
    return [line for line in out.splitlines() if EPOCH.fullmatch(line)]


def results(folder):
    return json.loads((folder / "results.json").read_text())


def pretrained_on(path, dataset, protocol, stream):
    data = {"dataset": dataset, "protocol": protocol, "stream": stream, "batch_size": 64}
    torch.save(torch.load(path) | {"data": data}, path)


MODES = {
    "linear": ("--pretrained", "PATH"),
    "finetune": ("--pretrained", "PATH", "--mode", "finetune"),
    "supervised": ("--mode", "supervised", *SMALL),
}


@pytest.mark.parametrize("mode", MODES)
def test_a_frozen_encoder_stays_and_the_others_learn(mode, run, path):
    before = path.read_bytes()
    out = run(*(path if word == "PATH" else word for word in MODES[mode]))
    said = r"encoder (unchanged|trained): sha256 (\w+) before, (\w+) after"
    (proof,) = re.findall(said, out)
    assert proof[0] == ("unchanged" if mode == "linear" else "trained")
    assert (proof[1] == proof[2]) == (mode == "linear")
    assert path.read_bytes() == before
    assert len(epochs(out)) == 3
    assert re.search(r"^last  epoch 2: .*  <- the headline$", out, re.M)


def test_supervised_starts_from_the_random_encoder_that_linear_scores(run):
    run("--mode", "supervised", *SMALL)
    run("--pretrained", "random", *SMALL)
    both = [results(folder) for folder in Path("checkpoints/random").glob("Transformer_*")]
    encoders = {each["pretrained"]["encoder_sha256"] for each in both}
    assert {each["mode"] for each in both} == {"linear", "supervised"}
    assert len(encoders) == 1


@pytest.mark.parametrize("mode", MODES)
def test_results_say_what_was_done_and_what_came_of_it(mode, run, path, data):
    out = run(*(path if word == "PATH" else word for word in MODES[mode]))
    folder = Path(re.search(r"results and test scores written to (.*)", out)[1])
    found = results(folder)
    assert found["mode"] == mode
    assert (found["dataset"], found["protocol"]) == ("ntu60", "cross_view")
    assert found["counts"] == {"train": 24, "test": 12, "classes": 60}
    assert found["settings"]["training"]["lr"] == 0.05
    assert found["settings"]["data"]["data_path"] == str(data)
    assert found["seed"] == 3
    assert found["complete"] is True
    assert found["encoder"]["hidden_size"] == 8
    (only,) = found["runs"]
    assert len(only["history"]) == 3
    assert only["last"] == only["history"][-1]
    assert only["best"] == max(only["history"], key=lambda score: score["top1"])
    assert found["summary"]["last"]["top1"] == {
        "mean": only["last"]["top1"],
        "std": None,
        "runs": 1,
    }
    if mode == "supervised":
        assert found["pretrained"]["path"] == "random"
    else:
        assert found["pretrained"]["path"] == str(path)
        assert found["pretrained"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert found["pretrained"]["epochs"] == 451


@pytest.mark.parametrize("mode", MODES)
def test_the_scores_are_those_behind_the_figures(mode, run, path, data):
    out = run(*(path if word == "PATH" else word for word in MODES[mode]))
    folder = Path(re.search(r"results and test scores written to (.*)", out)[1])
    (only,) = results(folder)["runs"]
    saved = load_scores(folder / only["scores"])
    test = load_arrays(data / "NTU-RGB-D-60-AGCN" / "xview", "val")
    assert saved.names == test.names
    assert saved.labels.tolist() == test.labels.tolist()
    assert saved.about == {
        "dataset": "ntu60", "protocol": "cross_view", "mode": mode, "stream": "joint",
    }  # fmt: skip
    right = saved.scores.argmax(axis=1) == saved.labels
    assert only["last"]["top1"] == pytest.approx(100 * right.mean())
    classes = only["per_class"]
    assert len(classes) == 60
    for entry in classes:
        there = saved.labels == entry["class"]
        assert entry["clips"] == there.sum()
        expected = pytest.approx(100 * right[there].mean()) if there.any() else None
        assert entry["top1"] == expected
    for file in only["classifiers"].values():
        assert Path(file).is_file()


def test_each_experiment_has_files_of_its_own(run, path):
    folder = path.parent
    commands = [
        (),
        ("--mode", "finetune"),
        ("--finetune-skeleton-representation", "bone"),
        ("--label-fraction", "0.5"),
        ("--label-fraction", "0.25"),
        ("--label-fraction", "0.5", "--subset", "stratified"),
        ("--mode", "finetune", "--label-fraction", "0.5"),
        ("--finetune-dataset", "utd_mhad", "--protocol", "cross_subject"),
    ]
    written = []
    for command in commands:
        before = set(folder.rglob("*.*"))
        run("--pretrained", path, "--epochs", "1", "--schedule", "1", *command)
        written.append(set(folder.rglob("*.*")) - before)
    for command, files in zip(commands[:-1], written, strict=False):
        assert sum(file.name.endswith("_scores.npz") for file in files) == 1, command
        assert sum(file.name == "results.json" for file in files) == 1, command
        assert sum(file.name.endswith("model_last.pth.tar") for file in files) == 1, command
    assert list(Path.cwd().iterdir()) == []


def test_a_linear_transfer_leaves_the_published_file_alone(run, path):
    pretrained_on(path, "ntu60", "cross_view", "joint")
    run("--pretrained", path)
    published = path.with_name("joint_model_last.pth.tar")
    before = published.read_bytes()
    out = run("--pretrained", path, "--finetune-dataset", "utd_mhad", "--protocol", "cross_subject")
    assert "transfer: pre-trained on ntu60 cross_view, scored on utd_mhad" in out
    assert published.read_bytes() == before
    folder = path.with_name("checkpoint_0450_utd_mhad_cross_subject_joint_linear")
    assert (folder / "joint_model_last.pth.tar").is_file()
    assert results(folder)["notes"] == [
        "transfer: pre-trained on ntu60 cross_view, scored on utd_mhad"
    ]
    assert results(folder)["pretrained"]["data"]["dataset"] == "ntu60"


def test_transfer_takes_the_classes_of_the_data_set_that_is_scored(run, path):
    target = ("--finetune-dataset", "utd_mhad", "--protocol", "cross_subject")
    run("--pretrained", path, "--mode", "finetune", *target)
    folder = path.with_name("checkpoint_0450_utd_mhad_cross_subject_joint_finetune")
    assert load_scores(folder / "joint_scores.npz").scores.shape == (12, 27)
    state = torch.load(folder / "joint_model_last.pth.tar")["state_dict"]
    assert state["fc.weight"].shape == (27, 32)


def test_another_split_or_stream_than_in_pre_training_is_said(run, path):
    pretrained_on(path, "ntu60", "cross_subject", "motion")
    out = run("--pretrained", path)
    split = (
        "note: pre-trained on cross_subject; without labels it has seen test clips of cross_view"
    )
    assert split in out.splitlines()
    assert "note: pre-trained on motion, scored on joint" in out.splitlines()
    pretrained_on(path, "ntu60", "cross_view", "joint")
    assert "pre-trained on" not in run("--pretrained", path)


def test_the_output_path_takes_all_files(run, path, tmp_path):
    before = sorted(path.parent.rglob("*"))
    for mode in ("linear", "finetune"):
        run("--pretrained", path, "--mode", mode, "--output-path", tmp_path / mode)
        events, *files = sorted(file.name for file in (tmp_path / mode).iterdir())
        assert events.startswith("events.out.tfevents.")
        assert files == [
            "joint_model_best.pth.tar",
            "joint_model_last.pth.tar",
            "joint_scores.npz",
            "results.json",
        ]
    assert sorted(path.parent.rglob("*")) == before


@pytest.mark.parametrize("mode", MODES)
def test_runs_learn_from_subsets_of_their_own_that_are_written_down(
    mode, run, data, tmp_path, path
):
    folder = tmp_path / "out"
    words = (path if word == "PATH" else word for word in MODES[mode])
    draw = ("--label-fraction", "0.4", "--subset", "stratified", "--runs", "3")
    out = run(*words, *draw, "--output-path", folder)
    train = load_arrays(data / "NTU-RGB-D-60-AGCN" / "xview", "train")
    found = results(folder)
    assert found["labels"] == {"fraction": 0.4, "subset": "stratified"}
    chosen = []
    for number, each in enumerate(found["runs"]):
        assert each["seed"] == run_seed(3, number)
        names = (folder / each["labelled_names"]).read_text().splitlines()
        draws = subset_generator(3, number)
        clips = draw_subset(train.names, torch.tensor(train.labels), 0.4, "stratified", draws)
        assert names == [train.names[clip] for clip in clips]
        assert each["labelled_clips"] == len(names) == 12
        assert f"run {number}: 12 of 24 training clips have labels, seed {each['seed']}" in out
        chosen.append(tuple(names))
    assert len(set(chosen)) == 3
    last = [each["last"]["top1"] for each in found["runs"]]
    summary = found["summary"]["last"]["top1"]
    assert summary["mean"] == pytest.approx(np.mean(last))
    assert summary["std"] == pytest.approx(np.std(last, ddof=1))
    wanted = f"last  top-1 {summary['mean']:.2f} ± {summary['std']:.2f} %, top-5 "
    assert f"\n{wanted}" in out
    assert len(list(folder.glob("joint_run?_scores.npz"))) == 3


@pytest.mark.parametrize("mode", ["linear", "finetune"])
def test_one_run_is_the_first_of_several(mode, run, path, tmp_path):
    score = ("--pretrained", path, "--mode", mode, "--label-fraction", "0.5")
    run(*score, "--output-path", tmp_path / "one")
    run(*score, "--output-path", tmp_path / "two", "--runs", "2")
    one, two = (results(tmp_path / name)["runs"][0] for name in ("one", "two"))
    assert one["history"] == two["history"]
    assert one["labelled_names"] == two["labelled_names"]


def test_runs_with_all_labels_differ_in_their_seed_only(run, path, tmp_path):
    run("--pretrained", path, "--runs", "2", "--output-path", tmp_path / "out")
    first, second = results(tmp_path / "out")["runs"]
    assert first["history"] != second["history"]
    assert first["labelled_clips"] == second["labelled_clips"] == 24
    assert first["labelled_names"] is None
    run("--pretrained", path, "--output-path", tmp_path / "one")
    assert results(tmp_path / "one")["runs"][0]["history"] == first["history"]


@pytest.mark.parametrize("mode", ["linear", "finetune", "supervised"])
def test_a_run_depends_on_its_seed_and_not_on_the_runs_before_it(mode, run, path, tmp_path):
    score = [path if word == "PATH" else word for word in MODES[mode]]
    run(*score, "--runs", "2", "--output-path", tmp_path / "two")
    run(*score, "--seed", run_seed(3, 1), "--output-path", tmp_path / "one")
    one, two = results(tmp_path / "one")["runs"][0], results(tmp_path / "two")["runs"][1]
    assert one["history"] == two["history"]


def test_features_of_a_frozen_encoder_are_computed_once_for_all_runs(run, path):
    out = run("--pretrained", path, "--label-fraction", "0.1", "--runs", "5")
    assert out.count("features of train") == 1
    assert out.count("features of test") == 1


def test_random_crops_of_a_subset_are_computed_for_its_clips(run, path):
    score = ("--pretrained", path, "--label-fraction", "0.5", "--probe-crop", "random")
    assert epochs(run(*score)) == epochs(run(*score))
    assert epochs(run(*score)) != epochs(run(*score[:-2]))


@pytest.fixture(scope="module")
def shuffled(data, tmp_path_factory):
    """The same clips, those of the training part in another order on disk."""
    path = tmp_path_factory.mktemp("shuffled")
    shutil.copytree(data, path, dirs_exist_ok=True)
    folder = path / "NTU-RGB-D-60-AGCN" / "xview"
    train = load_arrays(folder, "train")
    order = np.random.default_rng(0).permutation(len(train.names))
    names = [train.names[clip] for clip in order]
    assert names != sorted(names)
    moved = (np.array(each)[order] for each in (train.data, train.num_frames, train.labels))
    save_arrays(folder, "train", *moved, names)
    return path


@pytest.mark.parametrize(
    "how",
    [
        (),
        ("--probe-crop", "random"),
        ("--mode", "finetune"),
        ("--mode", "finetune", "--probe-crop", "centre"),
    ],
)
def test_the_order_on_disk_changes_no_run_on_a_labelled_subset(how, run, path, tmp_path, shuffled):
    score = ("--pretrained", path, "--label-fraction", "0.5", "--runs", "2", *how)
    run(*score, "--output-path", tmp_path / "sorted")
    run(*score, "--output-path", tmp_path / "shuffled", "--data-path", shuffled)
    ours, theirs = (results(tmp_path / name)["runs"] for name in ("sorted", "shuffled"))
    for first, second in zip(ours, theirs, strict=True):
        for here, there in zip(first["history"], second["history"], strict=True):
            assert here == pytest.approx(there, abs=1e-5)


def test_fine_tuning_with_an_encoder_that_stays_learns_as_the_probe_from_the_same_crop(run, path):
    whole = ("--pretrained", path, "--batch-size", "24")  # the order within a batch does not count
    still = ("--mode", "finetune", "--encoder-lr", "1e-30", "--encoder-mode", "eval")
    probe = epochs(run(*whole, "--probe-crop", "centre"))
    assert epochs(run(*whole, *still, "--probe-crop", "centre")) == probe
    assert epochs(run(*whole, *still, "--probe-crop", "random")) != probe


class StopAfter:
    """A step that raises a signal in this process after some calls."""

    def __init__(self, steps):
        self.steps, self.step = steps, FineTuner._step

    def __call__(self, learner):
        self.steps -= 1
        if self.steps == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        self.step(learner)


@pytest.mark.parametrize(("steps", "where"), [(2, (0, 2)), (6, (1, 2)), (8, (2, 0))])
def test_an_interrupted_fine_tuning_ends_as_the_uninterrupted_one(
    steps, where, run, path, monkeypatch, capsys
):
    score = ("--pretrained", path, "--mode", "finetune")
    whole = run(*score)
    folder = path.parent / FINETUNED
    last = folder / "joint_model_last.pth.tar"
    wanted, scores = torch.load(last), load_scores(folder / "joint_scores.npz").scores
    stop = StopAfter(steps)
    monkeypatch.setattr(FineTuner, "_step", lambda learner: stop(learner))
    with pytest.raises(SystemExit) as stopped:
        run(*score)
    assert stopped.value.code == 128 + signal.SIGTERM
    out = capsys.readouterr().out
    said = f"stopped by SIGTERM at epoch {where[0]}, batch {where[1]}; go on with --resume {last}"
    assert said in out
    monkeypatch.undo()
    monkeypatch.chdir(path.parent)
    resumed = run(*score, "--resume", last, "--seed", "99")
    assert epochs(out) + epochs(resumed) == epochs(whole)
    got = torch.load(last)
    for name in wanted["state_dict"]:
        assert torch.equal(got["state_dict"][name], wanted["state_dict"][name]), name
    assert np.array_equal(load_scores(folder / "joint_scores.npz").scores, scores)


def test_interrupted_runs_go_on_where_they_stopped(run, path, tmp_path, monkeypatch, capsys):
    score = ("--pretrained", path, "--mode", "finetune", "--label-fraction", "0.5", "--runs", "3")
    run(*score, "--output-path", tmp_path / "whole")
    stop = StopAfter(9)  # in the second run: two batches an epoch, three epochs
    monkeypatch.setattr(FineTuner, "_step", lambda learner: stop(learner))
    folder = tmp_path / "stopped"
    with pytest.raises(SystemExit):
        run(*score, "--output-path", folder)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert results(folder)["complete"] is False
    assert len(results(folder)["runs"]) == 1
    last = folder / "joint_run1_model_last.pth.tar"
    out = run(*score, "--output-path", folder, "--resume", last)
    assert len(epochs(out)) == 2 + 3  # what the second run lacked, and the third
    ours, theirs = (results(each)["runs"] for each in (folder, tmp_path / "whole"))
    assert results(folder)["complete"] is True
    for first, second in zip(ours, theirs, strict=True):
        assert first["history"] == second["history"]
        assert first["per_class"] == second["per_class"]


def test_an_interrupted_probe_stops_after_its_epoch_and_goes_on(run, path, monkeypatch, capsys):
    whole = run("--pretrained", path)
    original = LinearProbe.run_epoch

    def _interrupted(probe, *parts):
        if probe.epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return original(probe, *parts)

    monkeypatch.setattr(LinearProbe, "run_epoch", _interrupted)
    with pytest.raises(SystemExit) as stopped:
        run("--pretrained", path)
    assert stopped.value.code == 128 + signal.SIGINT
    out = capsys.readouterr().out
    last = path.with_name("joint_model_last.pth.tar")
    assert f"stopped by SIGINT at epoch 2, batch 0; go on with --resume {last}" in out
    monkeypatch.undo()
    monkeypatch.chdir(path.parent)
    assert epochs(out) + epochs(run("--pretrained", path, "--resume", last)) == epochs(whole)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("--mode", "linear"), "belongs to "),
        (("--crop", "centre"), "belongs to crop random, not centre; "),
        (("--batch-size", "5"), "belongs to batch size 7, not 5; "),
        (("--optimizer", "adamw"), "belongs to optimizer sgd, not adamw; "),
        (("--label-fraction", "0.5"), "belongs to run None, not 0; "),
    ],
)
def test_a_run_of_another_recipe_is_not_gone_on_with(change, said, run, refuse, path):
    run("--pretrained", path, "--mode", "finetune")
    last = path.parent / FINETUNED / "joint_model_last.pth.tar"
    command = ("--pretrained", path, "--mode", "finetune", "--resume", last, *change)
    assert refuse(*command).startswith(f"error: {last} {said}")


def test_a_run_of_another_subset_is_not_gone_on_with(run, refuse, path, tmp_path):
    score = ("--pretrained", path, "--label-fraction", "0.5", "--output-path", tmp_path / "out")
    run(*score)
    last = tmp_path / "out" / "joint_run0_model_last.pth.tar"
    said = refuse(*score, "--resume", last, "--seed", "4", "--epochs", "9")
    assert said.startswith(f"error: {last} belongs to labels ")


def test_results_of_other_settings_are_replaced_on_demand_only(run, data, path, capsys):
    results = path.parent / FINETUNED.replace("finetune", "linear") / "results.json"
    run("--pretrained", path)
    before = results.read_bytes()
    argv = ["--data-path", str(data), "--device", "cpu", "--pretrained", str(path), *SHORT]
    action_classification.main(argv)  # the same once more
    again = results.read_bytes()
    other = [*argv, "--lr", "0.25"]
    for _ in range(2):
        with pytest.raises(SystemExit) as stopped:
            action_classification.main(other)
        assert stopped.value.code == 2
        hint = "replace it with --overwrite or choose another --output-path"
        said = f"error: {results} was made with lr 0.05, not 0.25; {hint}\n"
        assert capsys.readouterr().err == said
    assert results.read_bytes() == again
    assert json.loads(before)["runs"][0]["history"] == json.loads(again)["runs"][0]["history"]
    action_classification.main([*other, "--overwrite"])
    assert json.loads(results.read_text())["settings"]["training"]["lr"] == 0.25


@pytest.mark.parametrize("mode", ["linear", "finetune"])
def test_a_finished_run_gives_its_results_without_training_again(mode, run, refuse, path):
    score = ("--pretrained", path, "--mode", mode, "--output-path", path.parent / "out")
    whole = run(*score)
    results, last = (path.parent / "out" / n for n in ("results.json", "joint_model_last.pth.tar"))
    before = json.loads(results.read_text())
    results.unlink()  # as if it had been killed before they were written
    assert epochs(whole)
    assert epochs(run(*score, "--resume", last)) == []
    after = json.loads(results.read_text())
    for found in (before, after):
        del found["settings"]["training"]["resume"], found["runs"][0]["seconds"]
    assert after == before
    said = refuse(*score, "--resume", last, "--epochs", "2", "--schedule", "1")
    assert said.startswith(f"error: {last} belongs to schedule [2], not [1]; ")
    said = refuse(*score, "--resume", last, "--epochs", "2")
    assert said == "error: --epochs 2: the classifier has had 3; ask for more"
    assert len(epochs(run(*score, "--resume", last, "--epochs", "5"))) == 2


def test_a_diverged_fine_tuning_is_an_error_and_writes_no_result(run, path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run("--pretrained", path, "--mode", "finetune", "--lr", "1e38")
    assert stopped.value.code == 2
    said = r"error: the training loss is \w+ in epoch \d, by batch \d; choose --lr below 1e\+38\n"
    assert re.fullmatch(said, capsys.readouterr().err)
    assert not (path.parent / FINETUNED / "results.json").exists()


def test_a_fraction_that_leaves_no_clip_is_an_error(refuse, path):
    said = refuse("--pretrained", path, "--label-fraction", "0.01")
    assert said == "error: --label-fraction 0.01: leaves none of 24 clips"


def test_a_missing_run_to_go_on_from_is_an_error(refuse, path):
    said = refuse("--pretrained", path, "--runs", "2", "--resume", "nowhere.tar")
    assert said == "error: no classifier at nowhere.tar; leave --resume out to start anew"
