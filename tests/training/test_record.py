"""A run is a record, and nothing overwrites it."""

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import action_retrieval
import pretraining
from dataset.prepared import PREPARED, generation
from options.parser import flat
from options.pretraining import parser
from tests.support.paths import ROOT
from tests.support.tiny import write_dataset
from tests.training.test_pretraining import StopAfter, arguments, as_before_methods, as_published
from tools import checkpoint
from tools.checkpoint import read
from tools.training import trainer
from tools.training.record import CONFIG, LAST, git, go_on, newest, own_files

METRICS = "metrics.jsonl"


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An uninterrupted run of three epochs of three steps."""
    folder = tmp_path_factory.mktemp("whole")
    given = ("--epochs", "3", "--seed", "3", "--save-freq", "1")
    pretraining.main(arguments(data, folder, *given))
    return folder


@pytest.fixture
def run(data, tmp_path):
    """Run the script in one folder, tmp_path/run."""

    def _run(*more):
        pretraining.main(arguments(data, tmp_path / "run", *map(str, more)))
        return tmp_path / "run"

    return _run


@pytest.fixture
def refused(run, capsys):
    """Run the script, which must refuse; its one line."""

    def _refused(*more):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            run(*more)
        said = capsys.readouterr().err
        assert stopped.value.code == 2
        assert said.startswith("error: ")
        assert said.count("\n") == 1
        return said

    return _refused


def config(folder):
    return json.loads((folder / CONFIG).read_text())


def rows(folder):
    found = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    return [{n: value for n, value in row.items() if n != "clips_per_second"} for row in found]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# The record


def test_config_json_says_what_the_run_was_told_before_its_first_step(run, monkeypatch, tmp_path):
    seen = []
    step = trainer.training_step

    def look(*given):
        seen.append(config(tmp_path / "run"))
        return step(*given)

    monkeypatch.setattr(trainer, "training_step", look)
    run("--epochs", "1")
    found = seen[0]
    assert found == config(tmp_path / "run") == read(tmp_path / "run" / LAST)["run"]
    assert found["settings"]["training"]["lr"] == 0.05
    assert found["settings"]["contrast"]["queue_size"] == 16
    assert found["data"]["clips"] == 14
    assert found["versions"] == {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "hico": re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)[1],
    }
    assert found["device"] == "cpu"
    assert found["world_size"] == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", found["started"])


def test_a_drawn_seed_is_kept_and_makes_the_run_again(run, data, tmp_path, capsys):
    folder = run("--epochs", "1")
    seed = config(folder)["seed"]
    assert f"seed {seed}\n" in capsys.readouterr().out
    pretraining.main(arguments(data, tmp_path / "again", "--epochs", "1", "--seed", str(seed)))
    assert rows(tmp_path / "again") == rows(folder)


def test_what_is_known_of_the_data_is_copied(run, data, tmp_path):
    (folder,) = data.glob("*/*")
    files = {"train_data_joint.npy": "0" * 64}
    said = {
        "format": "ntu",
        "source": {"raw": "raw", "count": 20, "item": "recording"},
        "counts": {"train": 14, "val": 6},
        "twins": 0,
        "version": "1.0",
        "sha256": files,
        "generation": generation(files),
    }
    (folder / PREPARED).write_text(json.dumps(said))
    try:
        found = config(run("--epochs", "1"))
    finally:
        (folder / PREPARED).unlink()
    assert found["data"]["prepared"] == said


def test_the_commit_is_recorded_and_whether_files_differ_from_it(tmp_path):
    assert git(tmp_path) is None
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    (tmp_path / "file").write_text("one")
    for command in (["init", "-q"], ["add", "file"], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    assert re.fullmatch("[0-9a-f]{40}", git(tmp_path)["commit"])
    assert git(tmp_path)["dirty"] is False
    (tmp_path / "file").write_text("two")
    assert git(tmp_path)["dirty"] is True


def test_a_machine_without_git_is_no_fault(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    assert git(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert git(ROOT) is None


# A folder that holds a run


def test_a_folder_that_holds_a_run_is_not_written_into(run, refused):
    folder = run("--epochs", "2", "--save-freq", "1")
    before = contents(folder)
    said = refused("--epochs", "1")
    assert f"{folder} holds a run (checkpoint_last.pth.tar); go on with --resume auto" in said
    assert contents(folder) == before
    (folder / LAST).unlink()
    assert "holds a run (checkpoint_0000" in refused("--epochs", "1")
    for path in folder.glob("*.tar"):
        path.unlink()
    assert "holds a run (metrics.jsonl)" in refused("--epochs", "1")


def test_overwrite_removes_all_of_the_old_run_and_nothing_of_others(run, whole):
    folder = run("--epochs", "3", "--save-freq", "1")
    assert {path.name for path in own_files(folder)} == contents(folder).keys() - {".lock"}
    scores = folder / "checkpoint_last_ntu60_cross_view_joint_linear"
    scores.mkdir()
    others = [scores / "results.json", folder / "joint_model_last.pth.tar", folder / "notes.txt"]
    for path in others:
        path.write_text("mine")
    events = set(folder.glob("events.*"))
    run("--epochs", "1", "--seed", "3", "--overwrite")
    assert sorted(path.name for path in folder.glob("checkpoint_*.tar")) == [
        "checkpoint_0000.pth.tar",
        LAST,
    ]
    assert rows(folder) == rows(whole)[:3]
    assert not events & set(folder.glob("events.*"))
    assert all(path.read_text() == "mine" for path in others)


def test_a_run_that_cannot_begin_removes_nothing(run, refused):
    folder = run("--epochs", "1")
    before = contents(folder)
    refused("--overwrite", "--batch-size", "16")  # more than there are clips
    refused("--overwrite", "--data-path", "nowhere")
    assert contents(folder) == before


def test_a_start_that_left_nothing_is_no_run(run, refused):
    refused("--epochs", "1", "--batch-size", "16")
    run("--epochs", "1")


def test_one_run_at_a_time_is_in_a_folder_and_evaluations_are_welcome(run, refused, data, tmp_path):
    folder = run("--epochs", "1")
    program = "import pathlib, sys\nfrom tools.files import held\n"
    program += "with held(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    input()"
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout.readline() == b"held\n"
    said = refused("--epochs", "2", "--resume", "auto")
    assert f"{folder}: another run, or a script that it began, is at work there" in said
    where = ["--data-path", str(data), "--device", "cpu"]
    action_retrieval.main([*where, "--pretrained", str(folder / LAST)])
    other.kill()
    other.wait()
    run("--epochs", "2", "--resume", "auto")


# Going on


def test_auto_begins_and_goes_on_with_the_same_command(run, whole, monkeypatch):
    again = ("--epochs", "3", "--seed", "3", "--save-freq", "1", "--resume", "auto")
    for steps in (2, 3, 1):
        with monkeypatch.context() as patch:
            patch.setattr(trainer, "training_step", StopAfter(steps, signal.SIGTERM))
            with pytest.raises(SystemExit):
                run(*again)
    folder = run(*again)
    assert rows(folder) == rows(whole)
    ours, theirs = (read(each / LAST)["state_dict"] for each in (folder, whole))
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    assert len(config(folder)["resumed"]) == 3


def test_auto_takes_the_checkpoint_that_is_furthest(run, whole, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    shutil.copy(folder / "checkpoint_0000.pth.tar", folder / LAST)  # as after a kill
    (folder / "checkpoint_0002.pth.tar").unlink()
    assert newest(folder) == folder / "checkpoint_0001.pth.tar"
    run("--epochs", "3", "--save-freq", "1", "--resume", folder / LAST)
    assert rows(folder) == rows(whole)
    assert "checkpoint_0001" in config(folder)["resumed"][0]["checkpoint"]


def test_a_kill_after_the_last_numbered_checkpoint_leaves_no_older_last_one(run, whole, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    shutil.copy(folder / "checkpoint_0000.pth.tar", folder / LAST)
    run("--epochs", "3", "--save-freq", "1", "--resume", "auto")
    ours, theirs = (read(each / LAST) for each in (folder, whole))
    assert ours["epoch"] == 3
    assert all(torch.equal(ours["state_dict"][n], x) for n, x in theirs["state_dict"].items())
    assert ours["run"] == config(folder)
    assert rows(folder) == rows(whole)


def test_what_is_left_of_a_start_without_a_checkpoint_is_not_mixed_in(run, whole):
    folder = run("--epochs", "1", "--seed", "4")
    for path in folder.glob("*.tar"):
        path.unlink()
    run("--epochs", "1", "--seed", "3", "--resume", "auto")
    assert rows(folder) == rows(whole)[:3]
    assert len(list(folder.glob("events.*"))) == 1


def test_going_back_needs_consent_and_leaves_nothing_of_what_came_after(run, refused, whole):
    folder = run("--epochs", "3", "--seed", "3", "--save-freq", "1")
    first = folder / "checkpoint_0000.pth.tar"
    back = ("--epochs", "2", "--save-freq", "5", "--resume", first, "--change", "epochs", "lr")
    said = refused(*back)
    assert f"{folder} holds checkpoint_last.pth.tar, which is further than" in said
    run(*back, "--lr", "0.01", "--overwrite")
    assert sorted(path.name for path in folder.glob("*.tar")) == [first.name, LAST]
    assert rows(folder)[:3] == rows(whole)[:3]
    assert [row["learning_rate"] for row in rows(folder)[3:]] == [0.01] * 3


def test_a_checkpoint_of_another_folder_does_not_go_on_in_a_run(run, refused, whole):
    folder = run("--epochs", "1")
    said = refused("--epochs", "4", "--resume", whole / LAST)
    assert f"{folder} holds a run" in said
    run("--epochs", "4", "--resume", whole / LAST, "--overwrite")
    assert [row["step"] for row in rows(folder)] == [10, 11, 12]
    assert config(folder)["seed"] == 3


def test_a_finished_run_has_nothing_to_do(run, capsys):
    folder = run("--epochs", "1", "--seed", "3")
    before = contents(folder)
    capsys.readouterr()
    for resume in ("auto", folder / LAST):
        run("--epochs", "1", "--resume", resume)
        out = capsys.readouterr().out
        assert "nothing to do: 1 epochs are done\n" in out
        assert "seed 3\n" in out
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--lr", "0.1"), "lr 0.05, not 0.1; give the same, or take the new one with --change lr"),
        (("--lr", "0.1", "--change", "momentum"), "lr 0.05, not 0.1; give the same, or take"),
        (("--schedule", "1"), "schedule [351], not [1]; give the same, or take"),
        (("--cos",), "cos False, not True; give the same, or take the new one with --change cos"),
        (("--momentum", "0.8"), "momentum 0.9, not 0.8; give the same, or take"),
        (("--wd", "0.1"), "weight_decay 0.0001, not 0.1; give the same, or take"),
        (("--precision", "bf16"), "precision fp32, not bf16; give the same, or take"),
        (("--epochs", "2"), "epochs 3, not 2; give the same, or take the new one"),
        (("--batch-size", "8"), "batch_size 4, not 8; give the same or start a new run"),
        (("--seed", "4"), "seed 3, not 4; give the same or start a new run"),
    ],
)
def test_another_setting_is_refused_by_its_name(option, said, refused, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    before = contents(tmp_path / "run")
    assert f"was trained with {said}" in refused("--epochs", "3", "--resume", "auto", *option)
    assert {**contents(tmp_path / "run"), ".lock": b""} == {**before, ".lock": b""}


MAY_DIFFER = {"data.data_path", "training.start_epoch", "speed.graph"}


def test_every_setting_is_compared_but_those_that_may_differ(data, whole):
    options = parser().parse(arguments(data, whole, "--epochs", "3"))
    now = config(whole)
    settings = flat(now["settings"])
    refusals = {}
    for name, value in settings.items():
        other = value + 1 if type(value) in (int, float) else "other"
        payload = {"run": now | {"settings": settings | {name: other}}, "random": {}}
        try:
            go_on(now, payload, whole / LAST, options)
        except ValueError as error:
            refusals[name] = str(error)
    free = {name for name in settings if name.startswith(("checkpoints.", "run."))} | MAY_DIFFER
    assert settings.keys() - refusals.keys() == free
    assert all(f"with {name.rpartition('.')[2]} " in said for name, said in refusals.items())


def test_other_clips_are_refused(refused, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    for clips, seed, said in (
        (15, 0, "was trained with clips 14, not 15; give the same or start a new run"),
        (14, 1, "was trained with other clips, of SHA-256 "),
    ):
        write_dataset(tmp_path / "other", train=clips, val=6, seed=seed)
        where = ("--data-path", tmp_path / "other")
        assert said in refused("--epochs", "3", "--resume", "auto", *where)
        shutil.rmtree(tmp_path / "other")


def test_the_same_clips_may_lie_elsewhere(run, data, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    shutil.copytree(data, tmp_path / "moved")
    run("--epochs", "4", "--resume", "auto", "--data-path", tmp_path / "moved")
    assert config(tmp_path / "run")["data"]["folder"].startswith(str(data))


def test_a_change_is_taken_and_recorded(run, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    taken = ("--change", "lr", "weight_decay", "--lr", "0.01", "--wd", "0.001")
    run("--epochs", "4", "--resume", "auto", *taken)
    found = config(tmp_path / "run")
    assert found == read(tmp_path / "run" / LAST)["run"]
    (entry,) = found["resumed"]
    assert entry["changes"] == {
        "training.lr": [0.05, 0.01],
        "training.epochs": [3, 4],
        "training.weight_decay": [0.0001, 0.001],
    }
    assert found["settings"]["training"]["lr"] == 0.01
    assert rows(tmp_path / "run")[-1]["learning_rate"] == 0.01
    with pytest.raises(SystemExit):
        run("--epochs", "5", "--resume", "auto")  # the run's rate is 0.01 by now
    run("--epochs", "5", "--resume", "auto", "--lr", "0.01", "--wd", "0.001")
    assert len(config(tmp_path / "run")["resumed"]) == 2


def test_more_epochs_change_a_cosine_and_are_a_change_then(run, refused):
    run("--epochs", "1", "--cos")
    said = refused("--epochs", "2", "--cos", "--resume", "auto")
    assert "was trained with epochs 1, not 2; give the same, or take the new one with" in said
    run("--epochs", "2", "--cos", "--resume", "auto", "--change", "epochs")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--change", "lr"), "error: --change lr: nothing is gone on with; give --resume too\n"),
        (("--resume", "auto", "--change", "hidden_size"), "error: --change hidden_size: known are"),
        (("--resume", "auto", "--overwrite"), "error: --overwrite: --resume auto goes on with"),
    ],
)
def test_options_that_contradict_each_other_are_refused(given, said, refused, tmp_path):
    assert refused(*given).startswith(said)
    assert not (tmp_path / "run").exists()


def test_an_older_checkpoint_goes_on_and_what_it_does_not_say_is_noted(
    run, whole, tmp_path, capsys
):
    payload = as_before_methods(read(whole / LAST))
    del payload["run"]
    checkpoint.save_whole(payload, tmp_path / "run" / LAST)
    folder = run("--epochs", "4", "--resume", "auto", "--lr", "0.01")
    said = capsys.readouterr().out
    assert "it does not say its seed, clips and learning rates, those given now are taken" in said
    assert "seed None\n" in said
    assert config(folder)["seed"] is None


def test_a_published_checkpoint_goes_on_with_fresh_draws(run, whole, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    as_published(whole / LAST, tmp_path / "run" / "checkpoint_0002.pth.tar")
    folder = run("--epochs", "4", "--resume", "auto", "--seed", "8")
    said = capsys.readouterr().out
    assert "it does not say with what data and settings it was trained" in said
    assert "seed 8\n" in said
    assert config(folder)["seed"] == 8


def test_a_damaged_record_is_an_error(refused, whole, tmp_path):
    payload = read(whole / LAST)
    payload["run"] = {"settings": [1]}
    checkpoint.save_whole(payload, tmp_path / "run" / LAST)
    assert "has a damaged record" in refused("--epochs", "4", "--resume", "auto")


def points(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return [event.step for event in events.Scalars("loss/total")]


def test_tensorboard_loses_no_point(run, monkeypatch):
    folder = run("--epochs", "1", "--seed", "3")
    run("--epochs", "2", "--resume", "auto")
    assert points(folder) == list(range(1, 7))


def test_a_killed_run_has_its_points_up_to_the_checkpoint_on_disk(data, tmp_path):
    program = (
        "import os, sys, pretraining\n"
        "from tools.training import trainer\n"
        "save = trainer.Trainer._save_last\n"
        "trainer.Trainer._save_last = lambda it: (save(it), os.kill(os.getpid(), 9))\n"
        "pretraining.main(sys.argv[1:])\n"
    )
    argv = arguments(data, tmp_path / "run", "--epochs", "2")
    done = subprocess.run([sys.executable, "-c", program, *argv], cwd=ROOT, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert points(tmp_path / "run") == [1, 2, 3]
    assert [row["step"] for row in rows(tmp_path / "run")] == [1, 2, 3]


# Broken numbers


@pytest.mark.parametrize("what", ["weight", "momentum"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_checkpoint_is_never_written_with_a_number_that_is_not_finite(
    what, value, run, refused, monkeypatch
):
    folder = run("--epochs", "1", "--save-freq", "1")
    before = {name: content for name, content in contents(folder).items() if "tar" in name}
    step = trainer.training_step

    def break_one(method, optimizer, *given):
        losses = step(method, optimizer, *given)
        break_one.steps += 1
        if break_one.steps == 3:  # the last of the epoch: no loss shows it
            parameter = optimizer.param_groups[0]["params"][5]
            state = optimizer.state[parameter]["momentum_buffer"]
            with torch.no_grad():
                (parameter if what == "weight" else state).view(-1)[-1] = float(value)
        return losses

    break_one.steps = 0
    monkeypatch.setattr(trainer, "training_step", break_one)
    said = refused("--epochs", "2", "--resume", "auto", "--save-freq", "1")
    name = "state_dict" if what == "weight" else "optimizer.state.5.momentum_buffer"
    assert re.search(rf"{name}\S* is not finite, so \S+ is not written; the checkpoints", said)
    assert {name: content for name, content in contents(folder).items() if "tar" in name} == before


def test_a_full_disk_amid_a_run_is_one_line_and_the_checkpoints_stay(run, refused, monkeypatch):
    folder = run("--epochs", "1")
    before = (folder / LAST).read_bytes()
    save = checkpoint.torch.save

    def full(payload, file):
        file.raw.fault = OSError(28, os.strerror(28))  # torch says it in words of its own
        raise RuntimeError("PytorchStreamWriter failed writing file")

    monkeypatch.setattr(checkpoint.torch, "save", full)
    said = refused("--epochs", "2", "--resume", "auto")
    monkeypatch.setattr(checkpoint.torch, "save", save)
    assert f"{LAST}: the disk is full; " in said
    assert (folder / LAST).read_bytes() == before
