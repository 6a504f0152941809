"""pretraining.py in several processes, by torchrun and by srun's variables, beside one process."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import torch

import action_retrieval
import pretraining
from moco.heads import LEVELS
from tests.support.paths import ROOT
from tests.support.waiting import HANGS
from tests.training.several import without_dropout
from tests.training.test_pretraining import arguments, losses, rows
from tools.checkpoint import read
from tools.training.ranks import Ranks
from tools.training.record import CONFIG
from tools.training.trainer import LAST

KINDS = ("GRU", "LSTM", "Transformer")
NEIGHBOURS = ("--encoder", "GRU", "--positives", "neighbours", "--neighbour-levels", "all")
ENDLESS = ("--epochs", "100000", "--seed", "3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


def run_of(data, folder, *more):
    """Arguments of a run of three steps an epoch; later ones take the place of earlier ones."""
    return arguments(data, folder, "--lr", "0.01", "--seed", "3", "--epochs", "4", *more)


def torchrun(size, *runs, dropout=False):
    """Let torchrun start `size` processes, which do the runs one after the other."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    command += [str(size), "-m", "tests.training.several"]
    command += [] if dropout else ["--without-dropout"]
    ended = subprocess.run(
        [*command, *map(json.dumps, runs)], cwd=ROOT, capture_output=True, text=True, timeout=HANGS
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def one(data, folder):
    """Folders of the runs of one process, by kind of encoder."""
    with pytest.MonkeyPatch.context() as patch:
        without_dropout(patch.setattr)
        for kind in KINDS:
            pretraining.main(run_of(data, folder / kind, "--encoder", kind))
    pretraining.main(run_of(data, folder / "neighbours", *NEIGHBOURS))
    return {kind: folder / kind for kind in (*KINDS, "neighbours")}


@pytest.fixture(scope="module")
def two(data, folder):
    """Two processes: each kind of encoder, and the first epoch of a run that goes on elsewhere."""
    begun = ("--encoder", "GRU", "--epochs", "1")
    runs = [run_of(data, folder / f"{kind}2", "--encoder", kind) for kind in KINDS]
    others = {"moving": begun, "neighbours2": NEIGHBOURS}
    torchrun(2, *runs, *(run_of(data, folder / name, *words) for name, words in others.items()))
    found = {kind: folder / f"{kind}2" for kind in (*KINDS, "neighbours")}
    return found | {"moving": folder / "moving"}


@pytest.fixture(scope="module")
def four(data, folder, two):
    """Four processes likewise; the run that moves has come from two."""
    last = two["moving"] / LAST
    assert read(last)["world_size"] == 2
    moved = ("--encoder", "GRU", "--epochs", "2", "--resume", str(last))
    runs = [run_of(data, folder / f"{kind}4", "--encoder", kind) for kind in KINDS]
    torchrun(4, *runs, run_of(data, two["moving"], *moved))
    return {kind: folder / f"{kind}4" for kind in KINDS} | {"moving": two["moving"]}


def equal(one, other, near):
    for mine, theirs in zip(one, other, strict=True):
        assert mine == pytest.approx(theirs, rel=near, abs=0)


@pytest.mark.parametrize("many", ["two", "four"])
@pytest.mark.parametrize("kind", KINDS)
def test_many_processes_write_the_losses_of_one(one, many, kind, request):
    folders = request.getfixturevalue(many)
    mine, theirs = losses(folders[kind]), losses(one[kind])
    assert len(theirs) == 12
    equal(mine[:10], theirs[:10], near=1e-6)
    equal(mine, theirs, near=1e-4)
    names = {path.name.split(".")[0] for path in one[kind].iterdir()}
    assert {path.name.split(".")[0] for path in folders[kind].iterdir()} == names
    ours, others = (read(each[kind] / LAST) for each in (folders, one))
    assert ours.keys() == others.keys()
    assert ours["state_dict"].keys() == others["state_dict"].keys()


def test_neighbours_are_those_of_the_whole_batch(one, two):
    mine, theirs = (read(each["neighbours"] / LAST)["state_dict"] for each in (two, one))
    for level in LEVELS:
        name = f"queues.{level}.clips"
        assert torch.equal(mine[name], theirs[name])
    equal(losses(two["neighbours"])[:10], losses(one["neighbours"])[:10], near=1e-5)


def test_a_run_goes_on_with_two_then_four_then_one(data, one, four):
    last = four["moving"] / LAST
    assert read(last)["world_size"] == 4
    pretraining.main(run_of(data, four["moving"], "--encoder", "GRU", "--resume", str(last)))
    assert read(last)["world_size"] == 1
    record = json.loads((four["moving"] / CONFIG).read_text())
    assert record["world_size"] == 2
    assert [entry["world_size"] for entry in record["resumed"]] == [4, 1]
    mine, theirs = losses(four["moving"]), losses(one["GRU"])
    equal(mine[:10], theirs[:10], near=1e-6)
    equal(mine, theirs, near=1e-4)


def test_dropout_is_of_the_seed_the_rank_and_the_step_so_that_resume_is_exact(data, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    first = run_of(data, parts, "--epochs", "2")
    rest = run_of(data, parts, "--resume", str(parts / LAST))
    said = torchrun(2, run_of(data, whole), first, rest, dropout=True)
    assert said.count("14 clips of") == 3  # only rank 0 speaks
    assert losses(parts) == losses(whole)


def srun(size, run):
    """Start processes with the variables that srun gives them; each has its own stdout."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    started = []
    for rank in map(str, range(size)):
        environment = {"SLURM_PROCID": rank, "SLURM_LOCALID": rank, "MASTER_ADDR": "localhost"}
        environment |= {"SLURM_STEP_NUM_TASKS": str(size), "MASTER_PORT": port}
        started.append(
            subprocess.Popen(
                [sys.executable, "pretraining.py", *run],
                cwd=ROOT,
                env=os.environ | environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return started


def trained(process):
    """Wait until rank 0 has logged a step."""
    for line in process.stdout:
        if line.startswith("epoch"):
            return
    raise AssertionError(process.stderr.read())


def test_when_a_rank_is_killed_the_others_end_and_say_why(data, tmp_path):
    processes = srun(2, run_of(data, tmp_path, *ENDLESS))
    trained(processes[0])
    processes[1].kill()
    _, err = processes[0].communicate(timeout=HANGS)
    assert processes[0].returncode == 2
    error = "error: rank 0 stops with the run: a process was killed, or its machine is gone"
    assert [line for line in err.splitlines() if line.startswith("error")] == [
        f"{error}; go on with --resume"
    ]
    assert "Traceback" not in err
    processes[1].communicate()


def test_a_signal_to_any_rank_ends_all_after_the_same_batch(data, one, tmp_path):
    run = run_of(data, tmp_path, "--encoder", "GRU", *ENDLESS)
    processes = srun(2, run)
    trained(processes[0])
    processes[1].send_signal(signal.SIGTERM)
    ends = [process.communicate(timeout=HANGS) for process in processes]
    assert [process.returncode for process in processes] == [128 + signal.SIGTERM] * 2, ends
    assert "stopped by SIGTERM at epoch" in ends[0][0]
    lines = ends[1][0].splitlines()
    assert [line for line in lines if not line.startswith("[Gloo]")] == []  # as torch 2.8 says
    progress = read(tmp_path / LAST)["progress"]
    assert progress["step"] == rows(tmp_path)[-1]["step"]
    epochs = str(progress["epoch"] + 1)
    ends_early = ("--epochs", epochs, "--change", "epochs")
    go_on = ("--encoder", "GRU", *ends_early, "--resume", str(tmp_path / LAST))
    pretraining.main(run_of(data, tmp_path, *go_on))
    steps = [row["step"] for row in rows(tmp_path)]
    assert steps == list(range(1, 3 * int(epochs) + 1))


def test_a_fault_of_one_rank_is_told_by_all(data, tmp_path):
    processes = srun(2, run_of(data, tmp_path, "--resume", str(tmp_path / "nowhere.pth.tar")))
    ends = [process.communicate(timeout=HANGS)[1] for process in processes]
    assert [process.returncode for process in processes] == [2, 2], ends
    assert "error: no checkpoint at" in ends[0]  # rank 0 alone reads it
    assert "error: rank 1 stops with the run: rank 0: no checkpoint at" in ends[1]


def test_a_batch_that_cannot_be_shared_out_is_refused(data, tmp_path, monkeypatch):
    monkeypatch.setattr(Ranks, "first", lambda self, make: make())
    options = pretraining.parser().parse(run_of(data, tmp_path))
    with pytest.raises(ValueError, match="--batch-size 4 .* multiple of 3"):
        pretraining.build(options, Ranks(0, 3))


def test_an_evaluation_refuses_to_be_one_of_several(data, monkeypatch, capsys):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        action_retrieval.main(["--data-path", str(data), "--pretrained", "random"])
    assert stopped.value.code == 2
    error = "error: 2 processes were started for what takes one; leave torchrun out\n"
    assert capsys.readouterr().err == error
