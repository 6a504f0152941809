"""The table in one command: selection, what is run again and what is not, the table, the plan."""

import fcntl
import json
import os
import pickle
import re
import signal
import statistics
import subprocess
import sys

import numpy as np
import pytest

from dataset.arrays import load_labels
from dataset.protocols import DATASETS, STREAMS
from options.evaluations import EVALUATIONS, KINDS, PRETRAINING
from options.reproduce import ReproduceOptions, parser
from tests.reproduce.scripts import TINY, Scripts, interrupted
from tests.support.paths import ROOT
from tests.support.tiny import write_dataset
from tests.support.waiting import HANGS
from tools.files import held
from tools.reproduce import __main__ as command
from tools.reproduce import plan, table
from tools.reproduce.cells import LAST, Cell, Run, expand, read
from tools.reproduce.child import Children, Ended
from tools.reproduce.data import SplitData, look, missing, unlike_published
from tools.reproduce.published import FIGURES
from tools.reproduce.run import DONE, FAILED, SKIPPED, TO_DO, Outcome, Runner
from tools.runtime import until_signal

MODES = tuple(EVALUATIONS)
XSUB, XVIEW = ("ntu60", "cross_subject"), ("ntu60", "cross_view")


def choose(**changes):
    usual = {
        "datasets": ("ntu60",),
        "protocols": ("cross_subject",),
        "encoders": ("GRU",),
        "streams": ("joint",),
        "modes": ("linear", "knn"),
        "fractions": (0.5,),
        "subsets": 2,
        "transfer_to": ("ntu120:cross_subject",),
    }
    return ReproduceOptions(**(usual | changes))


def words(**extras):
    return {name: tuple(text.split()) for name, text in (TINY | extras).items()}


# What is published


def test_every_published_figure_has_its_source_and_a_split_that_is_known():
    for figure in FIGURES:
        assert figure.source
        assert figure.mode in MODES
        assert figure.protocol in DATASETS[figure.dataset].folders
        assert set(figure.stream.split("+")) <= set(STREAMS)
        assert 40 < figure.top1 < 100


def test_the_published_figures_of_hico_are_all_there():
    found = {
        (one.encoder, one.dataset, one.protocol): one.top1
        for one in FIGURES
        if one.method == "HiCo" and one.dataset.startswith("ntu")
    }
    columns = (XSUB, XVIEW, ("ntu120", "cross_subject"), ("ntu120", "cross_setup"))
    published = {
        "GRU": (80.6, 88.6, 72.5, 73.8),
        "LSTM": (81.4, 88.8, 73.7, 74.5),
        "Transformer": (81.1, 88.6, 72.8, 74.1),
    }
    assert found == {
        (encoder, *split): top1
        for encoder, row in published.items()
        for split, top1 in zip(columns, row, strict=True)
    }


def test_every_figure_that_was_found_at_its_source_is_there_once():
    counts = {}
    for one in FIGURES:
        counts[(one.mode, one.method)] = counts.get((one.mode, one.method), 0) + 1
    assert counts == {
        **{("linear", "HiCo"): 13, ("linear", "CMD"): 4, ("ensemble", "CMD"): 4},
        **{("linear", "AimCLR"): 9, ("ensemble", "AimCLR"): 3, ("ensemble", "CrosSCLR"): 4},
        **{("linear", "HiCLR"): 3, ("ensemble", "HiCLR"): 1},
        **{("knn", "ISC"): 4, ("knn", "UmURL"): 4, ("knn", "SCD-Net"): 1, ("knn", "STARS"): 4},
        **{("finetune", "MAMP"): 4, ("finetune", "STARS"): 4},
    }
    assert len({(f.mode, f.method, f.encoder, *figure_of(f)) for f in FIGURES}) == len(FIGURES)


def figure_of(figure):
    return figure.dataset, figure.protocol, figure.stream


def test_no_figure_that_was_only_remembered_is_there():
    remembered = {("HiCo", mode) for mode in MODES if mode != "linear"}
    remembered |= {("CMD", mode) for mode in ("knn", "semi", "transfer")}
    assert not remembered & {(figure.method, figure.mode) for figure in FIGURES}
    assert "HaLP" not in {figure.method for figure in FIGURES}
    assert not {"semi", "transfer"} & {figure.mode for figure in FIGURES}


# What is run


def test_cells_come_after_what_they_need_and_only_once():
    cells = expand(choose(streams=STREAMS, modes=MODES, encoders=("GRU", "LSTM"), seeds=(0, 1)))
    assert len(cells) == len(set(cells))
    for number, cell in enumerate(cells):
        assert all(need in cells[:number] for need in cell.needs())
    # a pre-training and five evaluations for each stream, and one ensemble of the streams
    assert len(cells) == 2 * 2 * (3 * (1 + 5) + 1)


def test_an_ensemble_brings_the_probes_that_it_is_made_of():
    cells = expand(choose(streams=("joint", "bone"), modes=("ensemble",)))
    assert [(cell.mode, cell.run.stream) for cell in cells] == [
        *((PRETRAINING, "joint"), (PRETRAINING, "bone"), ("linear", "joint"), ("linear", "bone")),
        ("ensemble", "joint+bone"),
    ]


def test_transfer_leaves_the_data_set_and_takes_the_namesake_split():
    targets = (("pku_part2", "cross_subject"), ("ntu60", "cross_view"))
    names = tuple(":".join(target) for target in targets)
    datasets = ("ntu60", "ntu120", "pku_part2")
    cells = expand(choose(datasets=datasets, protocols=(), modes=("transfer",), transfer_to=names))
    found = [((c.run.dataset, c.run.protocol), c.target) for c in cells if c.mode == "transfer"]
    assert found == [
        (XSUB, targets[0]),
        (("ntu120", "cross_subject"), targets[0]),
        (("ntu120", "cross_subject"), targets[1]),
        (("ntu120", "cross_setup"), targets[1]),
        (("pku_part2", "cross_subject"), targets[1]),
    ]


def test_a_selection_names_everything_once_and_streams_in_one_order():
    words = "--datasets ntu60 NTU60 --streams bone joint bone --seeds 3 1 3 --linear --cos"
    chosen = parser().read([*words.split(), "--pretraining", "--lr 0.1 --cos"])
    assert chosen.splits == (XVIEW, XSUB)
    assert chosen.streams == ("joint", "bone")
    assert chosen.seeds == (3, 1)
    assert chosen.extras["linear"] == ("--cos",)
    assert chosen.extras["pretraining"] == ("--lr", "0.1", "--cos")


def test_names_are_known_as_the_field_writes_them():
    words = "--datasets NTU60 --protocols xsub --encoders gru lstm --transfer-to ntu120:xset"
    chosen = parser().read(words.split())
    assert chosen.splits == (XSUB,)
    assert chosen.encoders == ("GRU", "LSTM")
    assert chosen.targets == (("ntu120", "cross_setup"),)


def test_the_whole_table_is_what_nobody_narrows():
    chosen = parser().read([])
    assert {(figure.dataset, figure.protocol) for figure in FIGURES} <= set(chosen.splits)
    assert (chosen.streams, chosen.modes) == (STREAMS, MODES)
    evaluated = {table.where(cell) for cell in expand(chosen) if cell.mode != PRETRAINING}
    assert {(f.mode, *figure_of(f), "") for f in FIGURES} <= evaluated


def test_one_stream_has_no_ensemble_unless_one_is_asked_for():
    assert parser().read(["--streams", "joint"]).modes == MODES[:-1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--datasets ntu61", "--datasets ntu61: known are ntu60, "),
        ("--protocols cross", "--protocols cross: known are "),
        ("--datasets ntu120 --protocols cross_view", "cross_view: ntu120 has cross_subject"),
        ("--encoders RNN", "--encoders RNN: known are GRU, LSTM, Transformer"),
        ("--modes ensemble --streams joint", "needs two streams"),
        ("--modes probing", "--modes probing: known are linear, knn, "),
        ("--seeds -1", "--seeds"),
        ("--fractions 1.5", "1.5: needs a number above 0 and below 1"),
        ("--fractions 0", "0: needs a number above 0 and below 1"),
        ("--subsets 0", "--subsets 0: needs a whole number, 1 or more"),
        ("--transfer-to pku_part2", "--transfer-to pku_part2: known are ntu60:cross_view"),
        ("--linear --mode=finetune", "--linear --mode: tools.reproduce sets it itself"),
        ("--pretraining --seed=3", "--pretraining --seed: tools.reproduce sets it itself"),
        ("--pretraining --hico-k=100", "--hico-k 100: must be a multiple of --batch-size 64"),
        ("--knn --neighbours=3", "--neighbours=3: no such option"),
        ("--data-path nowhere", "nothing to run; ntu60 cross_subject: no file nowhere/NTU"),
        ("--unknown", "--unknown"),
    ],
)
def test_a_bad_selection_is_one_line_and_status_2(data, tmp_path, capsys, given, said):
    usual = ["--data-path", str(data), "--out", str(tmp_path), "--datasets", "ntu60"]
    with pytest.raises(SystemExit) as stopped:
        command.main([*usual, "--protocols", "cross_subject", *given.split()])
    out, err = capsys.readouterr()
    assert stopped.value.code == 2
    assert err.count("\n") == 1
    assert said in err
    assert not list(tmp_path.rglob("*.tar"))


def test_help_loads_neither_torch_nor_numpy():
    program = (
        "import sys\nfrom tools.reproduce.__main__ import main\n"
        "try:\n    main(['--help'])\n"
        "finally:\n    print(sorted({'torch', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '--linear "--lr 1' in done.stdout
    assert done.stdout.endswith("[]\n")


@pytest.fixture
def go(data, tmp_path):
    """Run a selection with the stand-in; returns what was called and where all stands."""

    def _go(scripts=None, extras=None, data_path=data, **changes):
        scripts = scripts or Scripts()
        where = {"out": tmp_path, "data_path": data_path, "device": "cpu"}
        runner = Runner(choose(extras=words(**(extras or {})), **where, **changes))
        runner.run(scripts, lambda line: None)
        return scripts, runner

    return _go


def states(runner):
    return [outcome.state for outcome in runner.outcomes.values()]


def test_what_is_done_is_not_run_again(go):
    scripts, runner = go()
    assert scripts.calls == [PRETRAINING, "linear", "knn"]
    assert states(runner) == [DONE] * 3
    found = [outcome.scores for outcome in runner.outcomes.values()]
    assert found == [(), ({"last": 50.0, "best": 55.0},), ({"last": 40.0},)]
    scripts, runner = go()
    assert scripts.calls == []
    assert states(runner) == [DONE] * 3
    assert go(seeds=(0, 1))[0].calls == [PRETRAINING, "linear", "knn"]  # of seed 1


def test_an_evaluation_with_other_settings_is_run_again_and_alone(go):
    go()
    assert go(extras={"linear": "--epochs 2 --batch-size 8 --lr 0.4"})[0].calls == ["linear"]


def test_settings_count_by_what_they_mean_not_by_how_they_are_written(go):
    go()
    written = "--lr 5e-1 --batch_size=8 --epochs 2 --momentum 0.9"
    assert go(extras={"linear": written})[0].calls == []


def test_how_fast_a_run_goes_is_no_setting(go):
    go()
    faster = TINY["pretraining"] + " --graph off --print-freq 3"
    assert go(extras={"pretraining": faster})[0].calls == []


def test_an_option_that_came_later_was_left_at_its_default(go, tmp_path):
    go()
    for record in tmp_path.rglob("*0/*.json"):
        content = json.loads(record.read_text())
        assert content["settings"].pop("training.momentum", 0.9) == 0.9
        record.write_text(json.dumps(content))
    assert go()[0].calls == []
    (record,) = tmp_path.rglob("pretraining.json")
    content = json.loads(record.read_text())
    del content["seconds"]  # as if it had been interrupted
    record.write_text(json.dumps(content))
    scripts, _ = go(modes=())
    assert scripts.argv["--resume"] == "auto"
    other = {"linear": TINY["linear"] + " --momentum 0.8"}
    assert go(extras=other)[0].calls == ["linear"]


def test_what_an_earlier_run_found_is_not_taken_for_what_a_later_one_finds(go):
    go()
    scripts = Scripts()
    scripts.classify = lambda folder, name: None
    _, runner = go(scripts, extras={"linear": TINY["linear"] + " --momentum 0.8"})
    assert states(runner) == [DONE, FAILED, DONE]


def test_a_script_that_leaves_no_result_has_failed(go):
    scripts = Scripts()
    scripts.classify = lambda folder, name: None
    _, runner = go(scripts)
    assert states(runner) == [DONE, FAILED, DONE]
    assert "results.json" in list(runner.outcomes.values())[1].note


def test_a_new_pretraining_makes_its_evaluations_new(go, tmp_path):
    go()
    (checkpoint,) = tmp_path.rglob(LAST)
    checkpoint.unlink()
    scripts = Scripts()
    scripts.run = lambda *given, run=scripts.run: (run(*given), checkpoint.write_text("new"))[0]
    assert go(scripts)[0].calls == [PRETRAINING, "linear", "knn"]


def test_a_pretraining_with_other_settings_is_refused(go, tmp_path):
    go()
    other = TINY["pretraining"].replace("--hidden-size 8", "--hidden-size 16")
    with pytest.raises(
        ValueError, match=r"pre-trained with encoder\.hidden_size 8, not 16; give the same"
    ):
        go(extras={"pretraining": other})


def test_a_checkpoint_of_somebody_else_is_refused(go, tmp_path):
    folder = tmp_path / Run(*XSUB, "GRU", "joint", 0).name
    folder.mkdir()
    (folder / LAST).write_text("theirs")
    with pytest.raises(ValueError, match="holds a checkpoint of another run"):
        go()


def test_other_data_under_the_same_name_are_noticed(go, data, tmp_path_factory):
    go()
    other = tmp_path_factory.mktemp("other")
    write_dataset(other, protocol="cross_subject", train=12, val=6, seed=9)
    with pytest.raises(ValueError, match="pre-trained with data "):
        go(data_path=other)


@pytest.mark.parametrize("content", ["{", "[]", '{"state": "done", "settings": {"lr": 0.1}}'])
def test_a_damaged_or_older_record_is_named(go, tmp_path, content):
    go()
    (record,) = tmp_path.rglob("linear.json")
    record.write_text(content)
    with pytest.raises(ValueError, match=r"linear\.json is not a record of tools\.reproduce"):
        go()


@pytest.mark.parametrize("content", ["{", "{}", '{"complete": false, "runs": []}'])
def test_an_evaluation_without_its_results_is_run_again(go, tmp_path, content):
    go()
    (tmp_path / Run(*XSUB, "GRU", "joint", 0).name / "linear" / "results.json").write_text(content)
    assert go()[0].calls == ["linear"]


def test_an_interrupted_evaluation_goes_on_from_its_file(go, tmp_path):
    scripts = Scripts()
    scripts.stops = {"linear"}
    scripts, runner = go(scripts)
    assert scripts.calls == [PRETRAINING, "linear"]
    assert states(runner) == [DONE, TO_DO, TO_DO]
    scripts, runner = go(modes=("linear",))
    assert scripts.calls == ["linear"]
    assert scripts.argv["--resume"].endswith("linear/joint_model_last.pth.tar")
    assert states(runner) == [DONE, DONE]


def test_what_was_interrupted_with_other_settings_begins_anew(go):
    scripts = Scripts()
    scripts.stops = {"linear"}
    go(scripts)
    other = {"linear": TINY["linear"] + " --momentum 0.8"}
    scripts, _ = go(modes=("linear",), extras=other)
    assert scripts.calls == ["linear"]
    assert "--resume" not in scripts.argv


def test_interrupted_subsets_of_the_labels_go_on_from_the_first_ones_file(go):
    scripts = Scripts()
    scripts.stops = {"semi-0.5"}
    go(scripts, modes=("semi",))
    scripts.stops, scripts.stopped_by = set(), None
    go(scripts, modes=("semi",))
    assert scripts.argv["--resume"].endswith("semi-0.5/joint_run0_model_last.pth.tar")


def test_a_pretraining_that_is_refused_does_not_begin_anew(go):
    scripts = Scripts()
    scripts.stops = {PRETRAINING}
    go(scripts)
    scripts = Scripts()
    scripts.fails = {PRETRAINING: "error: --resume was trained otherwise"}
    _, runner = go(scripts, modes=())
    assert scripts.calls == [PRETRAINING]
    assert states(runner) == [FAILED]


def test_a_pretraining_goes_on_with_what_its_folder_holds(go, tmp_path):
    scripts = Scripts()
    scripts.stops = {PRETRAINING}
    go(scripts)
    scripts, _ = go(modes=())
    assert scripts.argv["--resume"] == "auto"


def test_a_new_evaluation_is_one_row(go, monkeypatch):
    toy = KINDS["linear"]._replace(title="Toy probe", scores=lambda found: [{"last": 12.5}])
    for rows in (KINDS, EVALUATIONS):
        monkeypatch.setitem(rows, "toy", toy)
    scripts, runner = go(modes=("toy",), extras={"toy": "--epochs 3 --schedule"})
    assert scripts.calls == [PRETRAINING, "toy"]
    assert scripts.argv_as_given[2:5] == ["--epochs", "3", "--schedule"]
    text = table.markdown(table.rows(runner.outcomes), runner.outcomes, "x")
    assert "## Toy probe" in text
    assert "| 12.50 |" in text


def test_an_ensemble_sums_the_scores_of_its_probes(go, tmp_path):
    chosen = {"streams": ("joint", "bone"), "modes": ("ensemble",)}
    extras = {"ensemble": "--weights 0.6 0.4"}
    scripts, runner = go(extras=extras, **chosen)
    assert scripts.calls == [PRETRAINING, PRETRAINING, "linear", "linear", "ensemble"]
    runs = [tmp_path / Run(*XSUB, "GRU", stream, 0).name for stream in chosen["streams"]]
    scores = [f"{runs[0]}/linear/joint_scores.npz", f"{runs[1]}/linear/bone_scores.npz"]
    assert scripts.argv_as_given[2:8] == ["tools.ensemble", *scores, "--weights", "0.6", "0.4"]
    assert list(runner.outcomes.values())[-1].scores == ({"last": 66.0},)
    assert go(extras=extras, **chosen)[0].calls == []
    assert go(**chosen)[0].calls == ["ensemble"]
    again = {"linear": "--epochs 2 --batch-size 8 --lr 0.1"}
    assert go(extras=again, **chosen)[0].calls == ["linear", "linear", "ensemble"]


def test_a_failure_is_named_and_the_others_go_on(go):
    scripts = Scripts()
    scripts.fails = {"linear": "error: the training loss is nan"}
    scripts, runner = go(scripts)
    assert states(runner) == [DONE, FAILED, DONE]
    assert "the training loss is nan (exit status 2); see" in list(runner.outcomes.values())[1].note
    scripts, runner = go()  # the fault is mended
    assert scripts.calls == ["linear"]


def test_a_log_that_finds_no_room_is_named(go, tmp_path):
    _, runner = go()
    _, linear, _ = runner.outcomes
    log = linear.record(tmp_path).with_suffix(".log")
    log.unlink()
    log.symlink_to("/dev/full")
    with pytest.raises(OSError, match=re.escape(f"{log}: the disk is full; ")):
        go(extras={"linear": "--epochs 3"})


def test_what_needs_a_failure_is_left_out(go):
    scripts = Scripts()
    scripts.fails = {PRETRAINING: "error: no memory"}
    scripts, runner = go(scripts)
    assert scripts.calls == [PRETRAINING]
    assert states(runner) == [FAILED, SKIPPED, SKIPPED]
    assert "no memory" in list(runner.outcomes.values())[1].note


def test_what_has_no_data_is_skipped_and_named(go):
    modes, target = ("linear", "transfer"), ("pku_part2:cross_subject",)
    scripts, runner = go(protocols=(), modes=modes, transfer_to=target)
    assert scripts.calls == [PRETRAINING, "linear"]
    for cell, outcome in runner.outcomes.items():
        absent = cell.run.protocol == "cross_view" or cell.mode == "transfer"
        assert (outcome.state == SKIPPED) == absent
        if absent:
            assert outcome.note.startswith(
                ("ntu60 cross_view: no file", "pku_part2 cross_subject: ")
            )


def test_clips_of_two_normalisations_are_not_mixed():
    run, target = Run(*XSUB, "GRU", "joint", 0), ("pku_part2", "cross_subject")
    found = {XSUB: SplitData(9, 9, 300, "a"), target: SplitData(9, 9, 50, "b")}
    assert "two normalisations" in missing(Cell(run, "transfer", target=target), found)
    assert missing(Cell(run, "linear"), found) == ""


@pytest.mark.parametrize("part", ["train", "val"])
def test_the_fingerprint_of_a_split_knows_names_classes_and_frames_of_both_parts(tmp_path, part):
    folder = write_dataset(tmp_path, protocol="cross_subject", train=4, val=4)
    options, seen = choose(data_path=tmp_path), set()
    (labels,) = folder.glob(f"{part}*.pkl")
    (frames,) = folder.glob(f"{part}*num_frame*.npy")
    names, classes = load_labels(labels)
    for content in ((names, classes), (names, classes[::-1]), (names[::-1], classes)):
        labels.write_bytes(pickle.dumps(content))
        seen.add(look(options, XSUB).fingerprint)
    np.save(frames, np.load(frames)[::-1])
    seen.add(look(options, XSUB).fingerprint)
    assert len(seen) == 4


def test_evaluations_of_the_fine_tuned_encoder_take_its_options_before_their_own():
    extras = {"finetune": ("--epochs", "9", "--lr", "0.1", "--schedule"), "semi": ("--lr", "0.2")}
    options = read(cell_of("semi", 0, fraction=0.5), choose(extras=extras))
    assert (options.training.epochs, options.training.lr) == (9, 0.2)


def test_a_failed_cell_is_said_and_is_status_1_and_children_hold_the_folder(
    data, tmp_path, capsys, monkeypatch
):
    kept = []

    def fail(self, command, log, environment):
        kept.extend(self.keep)
        log.open("a").write("error: no memory\n")
        return Ended(3, 0.0)

    monkeypatch.setattr(Children, "run", fail)
    with pytest.raises(SystemExit) as stopped:
        command.main(reproduce(data, tmp_path, "--streams", "joint", "--modes", "knn")[3:])
    said = capsys.readouterr().out
    assert stopped.value.code == 1
    assert "    failed: no memory (exit status 3); see " in said
    assert said.endswith("0 done, 1 failed, 1 skipped\n")
    assert "## Failed" in text_of(tmp_path / "table.md")
    assert len(kept) == 1


def test_a_folder_is_held_by_one_at_a_time(tmp_path):
    with (
        held(tmp_path),
        pytest.raises(ValueError, match="another run, or a script"),
        held(tmp_path),
    ):
        pass
    with held(tmp_path):
        pass


def test_a_child_is_out_of_reach_of_the_terminal(tmp_path):
    program = "import os; print(os.getsid(0) == os.getpid())"
    Children(print).run([sys.executable, "-c", program], tmp_path / "log", dict(os.environ))
    assert text_of(tmp_path / "log") == "True\n"


def test_two_runs_do_not_share_a_folder(data, tmp_path, capsys):
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SystemExit) as stopped:
            command.main(["--data-path", str(data), "--out", str(tmp_path)])
    assert stopped.value.code == 2
    assert "another run, or a script" in capsys.readouterr().err


def test_a_child_keeps_the_lock_of_a_parent_that_was_lost(tmp_path):
    with held(tmp_path) as lock:
        children = Children(print, keep=(lock,))
        program = (
            "import fcntl, sys\n"
            f"own = open({str(tmp_path / '.lock')!r})\n"
            f"fcntl.flock({lock}, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it is inherited\n"
            "fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        )
        log = tmp_path / "log"
        assert children.run([sys.executable, "-c", program], log, dict(os.environ)).status == 1
        assert "BlockingIOError" in log.read_text()


def test_a_run_that_died_holds_nothing(tmp_path):
    program = (
        "import os, pathlib\n"
        "from tools.files import held\n"
        f"with held(pathlib.Path({str(tmp_path)!r})):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    with held(tmp_path):
        pass


def test_a_signal_reaches_a_child_once_and_is_remembered(tmp_path):
    program = (
        f"import os, signal\nsignal.alarm({HANGS})\n"
        "numbers = {signal.SIGINT, signal.SIGUSR1}\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, numbers)\n"
        "print('ready', os.getpid(), flush=True)\n"
        "while signal.sigwait(numbers) == signal.SIGINT:\n"
        "    print('told', flush=True)\n"
    )
    log, pids = tmp_path / "log", []

    def hear(line):  # in this thread, so whatever a signal sets off is over when the child is ended
        if "ready" in line:
            pids.append(int(line.split()[1]))
            os.kill(os.getpid(), signal.SIGINT)
        else:
            os.kill(pids[0], signal.SIGUSR1)

    children = Children(hear, every=0.01)
    with until_signal(children.stop, every=True):
        assert children.run([sys.executable, "-c", program], log, dict(os.environ)).status == 0
    assert children.stopped_by == signal.SIGINT
    assert log.read_text().count("told") == 1


def test_the_newest_line_of_a_child_is_told_from_time_to_time(tmp_path):
    told, heard = [], tmp_path / "heard"
    program = (
        "import sys\nfrom pathlib import Path\nfrom tests.support.waiting import wait_until\n"
        "print('first'); print('epoch 7 ', flush=True)\n"
        "wait_until(Path(sys.argv[1]).exists)\n"
    )

    def hear(line):
        told.append(line)
        heard.touch()

    children, environment = Children(hear, every=0.01), {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program, str(heard)]
    assert children.run(command, tmp_path / "log", environment).status == 0
    assert told == ["    epoch 7"]


# The table


def outcome_of(*top1):
    return Outcome(DONE, scores=tuple({"last": value, "best": value + 1} for value in top1))


def cell_of(mode, seed, encoder="GRU", **more):
    return Cell(Run(*XSUB, encoder, more.pop("stream", "joint"), seed), mode, **more)


def test_the_table_has_mean_and_deviation_over_seeds():
    outcomes = {cell_of("linear", seed): outcome_of(top1) for seed, top1 in enumerate((70, 72, 77))}
    (row,) = [row for row in table.rows(outcomes) if row["method"] == "HiCo-GRU" and row["values"]]
    assert row["last"] == {"mean": 73.0, "std": statistics.stdev((70, 72, 77)), "runs": 3}
    assert row["best"]["mean"] == 74.0
    assert row["published"] == 80.6
    assert row["values"]["2"] == [{"last": 77, "best": 78}]
    assert row["state"] == DONE
    assert "| 80.6 | GRU | 73.00 ± 3.61 | 74.00 ± 3.61 | 3 |" in table.markdown(
        [row], outcomes, "x"
    )


def test_subsets_and_seeds_are_pooled():
    cells = [cell_of("semi", seed, fraction=0.1, subsets=2) for seed in (0, 1)]
    outcomes = dict(zip(cells, (outcome_of(40, 42), outcome_of(50, 52)), strict=True))
    (row,) = [row for row in table.rows(outcomes) if row["mode"] == "semi"]
    assert row["last"] == {"mean": 46.0, "std": statistics.stdev((40, 42, 50, 52)), "runs": 4}
    assert row["details"] == "10 % of the labels"
    assert row["published"] is None


def test_a_split_that_is_not_the_published_one_is_noted(go):
    _, runner = go()
    said = "ntu60 cross_subject here has 12 clips to train and 6 to test, the published"
    (note,) = runner.notes()
    assert note.startswith(said)
    text = table.markdown(table.rows(runner.outcomes), runner.outcomes, "x", runner.notes())
    assert f"**Note:** {said}" in text
    published, pku = SplitData(40091, 16487, 300, ""), DATASETS["pku_part2"]
    assert unlike_published(DATASETS["ntu60"], "cross_subject", published) == ""
    assert unlike_published(pku, "cross_subject", SplitData(1, 1, 50, "")) == ""


def test_one_run_has_no_deviation_and_retrieval_no_best():
    outcomes = {cell_of("knn", 0): Outcome(DONE, scores=({"last": 60.0},))}
    rows = table.rows(outcomes)
    (row,) = [row for row in rows if row["method"] == "ISC" and row["values"]]
    assert row["last"]["std"] is None
    assert row["best"] is None
    assert "| ISC | 62.5 | GRU | 60.00 | – | 1 |" in table.markdown(rows, outcomes, "x")


def test_every_published_figure_stands_in_the_table_whatever_was_run():
    outcomes = {cell_of("linear", 0): Outcome(TO_DO)}
    rows = table.rows(outcomes)
    assert len([row for row in rows if row["published"] is not None]) == len(FIGURES)
    text = table.markdown(rows, outcomes, "x")
    for figure in FIGURES:
        assert figure.source in text
    (mine,) = [row for row in rows if row["method"] == "HiCo-GRU" and row["state"] == "not run yet"]
    assert mine["last"] is None


def test_other_methods_stand_beside_our_transformer():
    kinds = ("GRU", "Transformer")
    outcomes = {cell_of("linear", 0, kind): outcome_of(len(kind)) for kind in kinds}
    (row,) = [row for row in table.rows(outcomes) if row["method"] == "HiCLR" and row["values"]]
    assert row["encoder"] == "Transformer"
    assert row["last"]["mean"] == len("Transformer")


def test_transfer_is_filed_under_what_was_scored():
    target = ("pku_part2", "cross_subject")
    outcomes = {cell_of("transfer", 0, target=target): outcome_of(50)}
    (row,) = [row for row in table.rows(outcomes) if row["mode"] == "transfer"]
    assert (row["dataset"], row["details"]) == ("pku_part2", "from ntu60 cross_subject")


# The plan


def passes_of(cell, *extras):
    options = read(cell, choose(extras={cell.mode: extras}))
    return cell.kind.passes(options, 130, 50)


def test_passes_are_counted_as_the_scripts_make_them():
    training = ("--epochs", "10", "--batch-size", "64", "--schedule")
    assert passes_of(cell_of(PRETRAINING, 0), *training) == 10 * 128 * 4
    assert passes_of(cell_of("knn", 0)) == 180
    assert passes_of(cell_of("linear", 0), *training) == 180
    assert passes_of(cell_of("linear", 0), *training, "--probe-crop", "random") == 1350
    assert passes_of(cell_of("finetune", 0), *training) == 10 * (390 + 50)
    few = cell_of("semi", 0, fraction=0.1, subsets=5)
    assert passes_of(few, *training) == pytest.approx(5 * 10 * (39 + 50))


def test_durations_are_said_in_two_units():
    assert plan.in_words(20) == "under a minute"
    assert plan.in_words(61 * 60) == "1 h 1 min"
    assert plan.in_words(26 * 3600) == "1 d 2 h"
    assert plan.in_words(24 * 3600) == "1 d"


def test_the_plan_runs_and_writes_nothing(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tools.reproduce.child.Children.run", None)
    out = tmp_path / "out"
    arguments = ["--plan", "--data-path", str(data), "--out", str(out), "--device", "cpu"]
    chosen = ["--datasets", "ntu60", "--encoders", "GRU", "--modes", "knn", "linear"]
    with pytest.raises(SystemExit) as stopped:
        command.main([*arguments, *chosen, "--pretraining", TINY["pretraining"]])
    said = capsys.readouterr().out
    assert stopped.value.code == 0
    assert not out.exists()
    assert "to do     knn of ntu60 cross_subject GRU joint seed 0: about under a minute" in said
    assert "calibrated on 3 steps of GRU here" in said
    assert "skipped   ntu60 cross_view: no file" in said
    assert "9 to do, 9 skipped" in said


def test_the_plan_reads_the_speed_of_an_earlier_run_of_the_same_model(go, tmp_path):
    _, runner = go()
    log = tmp_path / Run(*XSUB, "GRU", "joint", 0).name / "metrics.jsonl"
    rows = [{"epoch": 1, "clips_per_second": speed} for speed in (10.0, 640.0, 64.0)]
    rows.insert(1, {"epoch": 1, "eval/knn1": 50.0})
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = []
    where = {"out": tmp_path, "data_path": runner.options.data_path, "device": "cpu"}
    plan.show(Runner(choose(seeds=(0, 1), extras=words(), **where)), lines.append)
    assert f"speed: 64 clips of pre-training a second, measured in {log}" in lines
    assert lines[-1].startswith("3 to do, 3 done")


def test_a_cell_takes_its_passes_at_the_speed_of_pretraining_and_a_start(go, tmp_path):
    _, runner = go(extras={"pretraining": TINY["pretraining"].replace("epochs 2", "epochs 4")})
    log = tmp_path / Run(*XSUB, "GRU", "joint", 0).name / "metrics.jsonl"
    rows = [{"epoch": epoch, "clips_per_second": 10.0} for epoch in (0, 1)]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"epoch": 2, "cl')
    speeds = plan.measured(runner)
    assert plan.seconds(cell_of("knn", 0), runner, speeds) == (12 + 6) / 4 / 10 + 5
    # of four epochs one is done for sure and three are left
    assert plan.seconds(cell_of(PRETRAINING, 0), runner, speeds) == 3 * 12 / 10 + 5
    log.unlink()
    assert plan.seconds(cell_of(PRETRAINING, 0), runner, speeds) == 4 * 12 / 10 + 5


# The whole thing


def reproduce(data, out, *more):
    extras = [word for name, text in TINY.items() for word in (f"--{name}", text)]
    chosen = ["--datasets", "ntu60", "--protocols", "cross_subject", "--encoders", "GRU"]
    where = ["--data-path", str(data), "--out", str(out), "--device", "cpu"]
    return [sys.executable, "-m", "tools.reproduce", *where, *chosen, *extras, *more]


def test_interrupted_and_continued_from_end_to_end(data, tmp_path):
    long = TINY["pretraining"].replace("--epochs 2", "--epochs 24 --print-freq 1")
    extras = ("--pretraining", long, "--fractions", "0.5", "--subsets", "2")
    chosen = ("--transfer-to", "ntu120:xsub", "--modes", *MODES[:-1])
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    argv = reproduce(data, tmp_path, *extras, *chosen, "--streams", "joint")
    folder = tmp_path / Run(*XSUB, "GRU", "joint", 0).name
    said = interrupted(argv, environment, folder / "pretraining.log")
    assert "go on with: python -m tools.reproduce --data-path" in said
    assert "stopped by SIGINT" in text_of(folder / "pretraining.log")
    assert not (folder / "linear.json").exists()
    finish(argv, environment)
    assert "resumed from" in text_of(folder / "pretraining.log")
    rows = [json.loads(line)["step"] for line in text_of(folder / "metrics.jsonl").splitlines()]
    assert rows == list(range(1, 73))
    assert scored(tmp_path) == set(MODES[:-1])
    (row,) = [row for row in rows_of(tmp_path, "semi") if row["last"]]
    assert row["last"]["runs"] == 2
    fused = ("--modes", "ensemble", "--streams", "joint", "bone")
    assert finish(reproduce(data, tmp_path, *extras, *fused), environment).count("done in") == 3
    assert scored(tmp_path) == {"linear", "ensemble"}
    assert "## Ensemble" in text_of(tmp_path / "table.md")


def finish(argv, environment):
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows_of(out, mode):
    return [row for row in json.loads(text_of(out / "table.json"))["rows"] if row["mode"] == mode]


def scored(out):
    return {mode for mode in MODES for row in rows_of(out, mode) if row["last"]}


def text_of(path):
    return path.read_text() if path.is_file() else ""
