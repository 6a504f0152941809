"""A study: what it refuses, what it runs, what is trained for equal time, and its paired table."""

import json
import math
import os
import pickle
import signal
import statistics
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dataset.arrays import load_labels
from dataset.protocols import DATASETS
from options.evaluations import PRETRAINING
from options.reproduce import parser
from tests.reproduce.scripts import TINY, Scripts, interrupted
from tests.support.paths import ROOT
from tests.support.tiny import write_dataset
from tests.support.waiting import HANGS, wait_until
from tools.reproduce import __main__ as command
from tools.reproduce import paired, plan
from tools.reproduce.cells import expand_study
from tools.reproduce.child import Children, Ended
from tools.reproduce.data import look
from tools.reproduce.run import DONE, FAILED, SKIPPED, TO_DO, Runner
from tools.runtime import until_signal

XSUB = ("ntu60", "cross_subject")
STUDIES = sorted(ROOT.glob("studies/*.json"))
T_975 = {1: 12.7062, 2: 4.30265, 3: 3.18245, 4: 2.77645, 9: 2.26216}
"""Student's t: 97.5 % quantiles by degrees of freedom, as tables print them."""
STUDY = {
    "data": [
        {"dataset": "ntu60", "protocol": "xsub", "pretraining": "--epochs 10 --schedule 5 8"},
        {"dataset": "ntu120", "protocol": "cross_subject", "linear": "--lr 0.25"},
    ],
    "encoder": "gru",
    "seeds": [0, 1],
    "common": {name: TINY[name] for name in (PRETRAINING, "linear")},
    "settings": {"hico": "", "wrap": "--queue-wrap full", "bone": "--skeleton-representation bone"},
    "baseline": "hico",
    "evaluations": ["knn", "linear"],
}
ONE = {"data": STUDY["data"][:1], "settings": {"hico": "", "wrap": "--queue-wrap full"}}


def write_study(folder, **changes):
    """Write the study with changes; None leaves a key out."""
    content = {key: value for key, value in (STUDY | changes).items() if value is not None}
    path = folder / "small.json"
    path.write_text(json.dumps(content))
    return path


def words(data, path, out, *more):
    where = ["--data-path", str(data), "--out", str(out), "--device", "cpu"]
    return ["--study", str(path), *where, *more]


@pytest.fixture
def go(data, tmp_path):
    """Run a study with the stand-in."""

    def _go(scripts=None, at_once=1, **changes):
        scripts = scripts or Timed()
        path = write_study(tmp_path, **changes)
        argv = words(data, path, tmp_path / "out", "--at-once", str(at_once))
        runner = Runner(parser().read(argv))
        runner.run(scripts, lambda line: None)
        return scripts, runner

    return _go


class Timed(Scripts):
    """A stand-in for scripts whose processor time by setting is told, in seconds an epoch."""

    def __init__(self, **pace):
        super().__init__()
        self.pace, self.folders, self.given = pace, [], {}

    def run(self, argv, log, environment):
        ended = super().run(argv, log, environment)
        self.folders.append(f"{log.parent.name}/{log.stem}")
        self.given[self.folders[-1]] = argv
        if log.stem != PRETRAINING:
            return ended
        setting = log.parent.name.split("-")[4]
        options = parser_of(PRETRAINING).read(argv[2:])
        return Ended(ended.status, self.pace.get(setting, 1.0) * options.training.epochs)


def parser_of(mode):
    from options.evaluations import KINDS

    return KINDS[mode].parser()


def of(outcomes, setting, mode=PRETRAINING, seed=0, dataset="ntu60"):
    """The one cell that is meant."""
    (cell,) = [
        cell
        for cell in outcomes
        if (cell.run.setting, cell.mode, cell.run.seed) == (setting, mode, seed)
        and cell.run.dataset == dataset
    ]
    return cell


# What a study says


def test_a_study_is_expanded_seed_by_seed_with_a_random_encoder_of_each_stream(data, tmp_path):
    study = parser().read(words(data, write_study(tmp_path), tmp_path)).grid
    cells = expand_study(study)
    assert len(cells) == len(set(cells)) == 2 * 2 * (3 * 3 + 2 * 2)
    first = [(c.run.setting, c.run.stream, c.mode) for c in cells[:13]]
    assert first == [
        *(("random", "joint", mode) for mode in ("knn", "linear")),
        *(("hico", "joint", mode) for mode in (PRETRAINING, "knn", "linear")),
        *(("wrap", "joint", mode) for mode in (PRETRAINING, "knn", "linear")),
        *(("random-bone", "bone", mode) for mode in ("knn", "linear")),
        *(("bone", "bone", mode) for mode in (PRETRAINING, "knn", "linear")),
    ]
    assert [cell.run.seed for cell in cells] == [0] * 26 + [1] * 26
    assert {cell.run.encoder for cell in cells} == {"GRU"}


def test_later_words_override_earlier_ones(go):
    longer = {"hico": "", "long": "--epochs 30 --lr 0.5"}
    scripts, runner = go(settings=longer, seeds=[0])
    asked = {c.run.setting: runner.asked[c].training for c in runner.asked if c.mode == PRETRAINING}
    assert (asked["long"].epochs, asked["long"].lr, asked["long"].batch_size) == (30, 0.5, 4)
    ntu60, ntu120 = (of(runner.asked, "hico", dataset=name) for name in ("ntu60", "ntu120"))
    assert runner.asked[ntu60].training.epochs == 10
    assert runner.asked[ntu120].training.epochs == 2
    rates = {c.run.dataset: runner.asked[c].training.lr for c in runner.asked if c.mode == "linear"}
    assert rates == {"ntu60": 0.5, "ntu120": 0.25}


def test_a_setting_may_have_words_of_its_own_on_a_data_set(go):
    data = [{**STUDY["data"][0], "settings": {"long": "--epochs 7"}}, STUDY["data"][1]]
    runner = go(data=data, settings={"hico": "", "long": "--epochs 30"}, seeds=[0])[1]
    epochs = {
        (cell.run.dataset, cell.run.setting): runner.asked[cell].training.epochs
        for cell in runner.asked
        if cell.mode == PRETRAINING
    }
    ours = {("ntu60", "hico"): 10, ("ntu60", "long"): 7}
    assert epochs == ours | {("ntu120", "hico"): 2, ("ntu120", "long"): 30}


def test_a_random_encoder_has_the_sizes_and_the_seed_of_the_baseline(go):
    scripts, runner = go(**ONE)
    for seed in (0, 1):
        asked = runner.asked[of(runner.asked, "random", "linear", seed)]
        baseline = runner.asked[of(runner.asked, "hico", PRETRAINING, seed)]
        assert asked.pretrained == "random"
        assert asked.random_encoder.config == baseline.encoder
        assert asked.run.seed == seed
        assert asked.training.lr == 0.5


def test_an_evaluation_reads_the_stream_of_its_setting(go):
    scripts, runner = go(seeds=[0], data=ONE["data"])
    for setting, stream in (("hico", "joint"), ("bone", "bone"), ("random-bone", "bone")):
        for mode in ("knn", "linear"):
            assert runner.asked[of(runner.asked, setting, mode)].data.stream == stream


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_of_the_project_is_read(path, tmp_path):
    content = json.loads(path.read_text())
    for one in content["data"]:  # one's own data sets are known by their description
        if one["dataset"] not in DATASETS:
            described = {"name": one["dataset"], "classes": ["a", "b"], "pattern": "(?P<class>.)"}
            described["pattern"] += "(?P<person>.)"
            described["protocols"] = {one["protocol"]: {"by": "person", "train": ["x"]}}
            (tmp_path / one["dataset"]).mkdir(exist_ok=True)
            (tmp_path / one["dataset"] / "dataset.json").write_text(json.dumps(described))
    study = parser().read(["--study", str(path), "--data-path", str(tmp_path)]).grid
    assert len(study.settings) > 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"baselin": "hico"}, "the file has baselin: known are data, encoder, seeds"),
        ({"seeds": None}, "the file lacks seeds"),
        ({"seeds": []}, "seeds: needs a list that is not empty"),
        ({"seeds": [0, True]}, "seeds True: needs whole numbers from 0 on"),
        ({"seeds": [0, -1]}, "seeds -1: needs whole numbers from 0 on"),
        ({"encoder": "RNN"}, "encoder RNN: known are GRU, LSTM, Transformer"),
        ({"evaluations": ["semi"]}, "evaluations semi: known are linear, knn, finetune"),
        ({"baseline": "moco"}, "baseline moco: known are hico, wrap, bone"),
        ({"settings": {}}, "settings: needs an object"),
        ({"settings": []}, "settings: needs an object"),
        ({"settings": {"hico": 3}}, "settings.hico: needs options in one text"),
        ({"settings": {"hico": "--lr '"}}, "settings.hico: No closing quotation"),
        ({"settings": {"hico": "", "a/b": ""}}, "settings.a/b: needs letters, digits"),
        ({"settings": {"hico": "", "random2": ""}}, "settings.random2: needs letters"),
        (
            {"settings": {"hico": "", "x": "--augmentation none"}},
            "settings.x: --augmentation none: known are hico",
        ),
        ({"settings": {"hico": "", "x": "--hico-k 18"}}, "settings.x: --hico-k 18: must be a mult"),
        ({"settings": {"hico": "", "x": "--seed=3"}}, "settings.x: --seed is not a setting"),
        ({"common": {"linear": "--lr x"}}, "common.linear: --lr x: needs a number"),
        ({"common": {"pretraining": "--epoch 3"}}, "common.pretraining: --epoch: no such option"),
        ({"common": {"linear": "--mode finetune"}}, "common.linear: --mode is not a setting"),
        ({"common": {"training": ""}}, "common has training: known are pretraining, linear, knn"),
        ({"data": [{"dataset": "ntu60"}]}, "data[0] lacks protocol"),
        ({"data": [{"dataset": "ntu6", "protocol": "xsub"}]}, "data[0].dataset ntu6: known are "),
        (
            {"data": [{"dataset": "ntu120", "protocol": "xview"}]},
            "data[0].protocol xview: known are cross_subject, cross_setup",
        ),
        ({"data": STUDY["data"] + STUDY["data"][:1]}, "data[2]: ntu60 cross_subject stands there"),
        (
            {"data": [{**STUDY["data"][0], "knn": "--knn 3"}]},
            "data.ntu60 cross_subject.knn: --knn: no such option",
        ),
        (
            {"data": [{**STUDY["data"][0], "settings": {"full": ""}}]},
            "data[0].settings has full: known are hico, wrap, bone",
        ),
        (
            {"data": [{**STUDY["data"][0], "settings": {"wrap": "--epoch 3"}}]},
            "data.ntu60 cross_subject.settings.wrap: --epoch: no such option",
        ),
        ({"equal_time": ["hico"]}, "equal_time hico: it is the baseline"),
        ({"equal_time": ["full"]}, "equal_time full: known are hico, wrap, bone"),
        (
            {"equal_time": ["x"], "settings": {"hico": "", "x": "", "x-time": ""}},
            "equal_time x: settings has x-time too",
        ),
    ],
)
def test_a_bad_study_is_one_line_that_names_the_file_and_the_key(
    data, tmp_path, capsys, changes, said
):
    path, out = write_study(tmp_path, **changes), tmp_path / "out"
    assert refused(words(data, path, out), capsys).startswith(f"error: {path}: {said}")
    assert not out.exists()


def refused(argv, capsys):
    """The one line that a command line is refused with."""
    with pytest.raises(SystemExit) as stopped:
        command.main(argv)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not the JSON of a study (Expecting property name"),
        ('{"seeds": [0], "seeds": [1]}', "is not the JSON of a study (seeds stands twice"),
        ("[]", "the file: needs an object"),
        ('{"data": NaN}', "the file lacks encoder"),
    ],
)
def test_a_file_that_is_no_study_is_named(data, tmp_path, capsys, text, said):
    path = tmp_path / "study.json"
    path.write_text(text)
    line = refused(words(data, path, tmp_path / "out"), capsys)
    assert str(path) in line
    assert said in line


@pytest.mark.parametrize(
    "selection",
    [
        *("--datasets ntu60", "--protocols xsub", "--encoders GRU", "--streams joint"),
        *("--modes knn", "--seeds 0", "--fractions 0.1", "--subsets 5", "--linear=--lr=1"),
        *("--transfer-to pku_part2:xsub", "--pretraining=--epochs=3"),
    ],
)
def test_a_selection_beside_a_study_is_refused(data, tmp_path, capsys, selection):
    path = write_study(tmp_path)
    line = refused(words(data, path, tmp_path / "out", *selection.split()), capsys)
    assert line.startswith(f"error: {selection.split()[0].split('=')[0]} ")
    assert line.endswith(f"{path} says what is run; leave one out")


def test_a_study_has_a_folder_of_its_own(data, tmp_path):
    argv = ["--study", str(write_study(tmp_path)), "--data-path", str(data)]
    assert parser().read(argv).out == Path("runs/small")
    assert parser().read([]).out == Path("runs/reproduce")


# What is run


def test_a_study_runs_once_and_grows(go):
    scripts, runner = go(**ONE)
    assert len(scripts.calls) == 2 * (2 + 3 + 3)
    assert {outcome.state for outcome in runner.outcomes.values()} == {DONE}
    assert go(**ONE)[0].calls == []
    grown = {**ONE, "settings": {**ONE["settings"], "t": "--hico-t 0.1"}, "seeds": [0, 1, 2]}
    scripts, _ = go(**grown)
    assert len(scripts.calls) == 2 * 3 + (2 + 3 * 3)
    assert not any("seed0" in name and "-t-" not in name for name in scripts.folders)


def test_a_setting_with_other_words_is_refused(go):
    go(**ONE)
    with pytest.raises(ValueError, match="pre-trained with training.lr 0.01, not 0.5"):
        go(**ONE | {"settings": {"hico": "", "wrap": "--queue-wrap full --lr 0.5"}})


def test_processor_time_is_recorded_and_adds_up(go, tmp_path):
    scripts = Timed(hico=0.5)
    scripts.stops = {PRETRAINING}
    _, runner = go(scripts, **ONE, seeds=[0])
    cell = of(runner.outcomes, "hico")
    assert json.loads(cell.record(tmp_path / "out").read_text())["processor_seconds"] == 5.0
    _, runner = go(Timed(hico=0.25), **ONE, seeds=[0])
    assert runner.outcomes[cell].processor == 7.5
    assert json.loads(cell.record(tmp_path / "out").read_text())["processor_seconds"] == 7.5
    assert go(**ONE, seeds=[0])[1].outcomes[cell].processor == 7.5


def test_processor_time_of_a_part_that_was_killed_is_not_known(go, tmp_path):
    scripts = Timed()
    scripts.stops = {PRETRAINING}
    _, runner = go(scripts, **ONE, seeds=[0])
    cell = of(runner.outcomes, "hico")
    record = cell.record(tmp_path / "out")
    content = json.loads(record.read_text())
    del content["processor_seconds"]  # as it is while a script is at work
    record.write_text(json.dumps(content))
    _, runner = go(**ONE, seeds=[0], equal_time=["wrap"])
    assert runner.outcomes[cell].state == DONE
    assert runner.outcomes[cell].processor is None
    rows = {row["setting"]: row for row in paired.rows(runner, runner.options.grid)}
    assert rows["hico"]["processor_seconds"] == {}
    assert (rows["hico"]["steps"], rows["wrap-time"]["steps"]) == (30, None)
    timed = runner.outcomes[of(runner.outcomes, "wrap-time")]
    assert timed.state == SKIPPED
    assert f"{record.parent} does not say its processor time" in timed.note


def test_what_begins_anew_counts_from_nothing(go, tmp_path):
    _, runner = go(Timed(hico=3.0), **ONE, seeds=[0])
    cell = of(runner.outcomes, "hico")
    cell.product(tmp_path / "out").unlink()
    _, runner = go(Timed(hico=0.5), **ONE, seeds=[0])
    assert runner.outcomes[cell].processor == 5.0


def test_a_child_is_charged_for_itself_and_its_children_and_nobody_else(tmp_path):
    burn = "sum(range(10**7))"
    nested = f"import subprocess, sys; {burn}; subprocess.run([sys.executable, '-c', {burn!r}])"
    spent = []
    for program in (nested, burn, "pass"):  # the dearest first: what others took is not counted
        argv = [sys.executable, "-c", program]
        spent.append(Children(print).run(argv, tmp_path / "log", dict(os.environ)))
    assert [ended.status for ended in spent] == [0, 0, 0]
    two, one, idle = (ended.processor_seconds for ended in spent)
    assert 0 < idle < one < two


@pytest.mark.parametrize(
    ("slower", "epochs", "schedule"),
    [(1.0, 10, (5, 8)), (2.0, 5, (2, 4)), (1.7, 5, (2, 4)), (0.6, 16, (8, 12)), (30.0, 1, (1,))],
)
def test_equal_time_is_the_most_epochs_that_cost_no_more_than_the_baseline(
    go, slower, epochs, schedule
):
    scripts, runner = go(Timed(hico=1.0, wrap=slower), **ONE, equal_time=["wrap"])
    for seed in (0, 1):
        training = runner.asked[of(runner.asked, "wrap-time", seed=seed)].training
        assert (training.epochs, training.schedule) == (epochs, schedule)
        ran = scripts.given[f"ntu60-cross_subject-GRU-joint-wrap-time-seed{seed}/pretraining"]
        assert parser_of(PRETRAINING).read(ran[2:]).training == training
    row = {row["setting"]: row for row in paired.rows(runner, runner.options.grid)}["wrap-time"]
    assert row["epochs"] == epochs
    assert row["steps"] == 3 * epochs
    assert go(**ONE, equal_time=["wrap"])[0].calls == []


def test_equal_time_waits_for_both_times_of_the_first_seed(data, tmp_path):
    path = write_study(tmp_path, **ONE, equal_time=["wrap"], seeds=[3, 1])
    cells = expand_study(parser().read(words(data, path, tmp_path)).grid)
    for seed in (3, 1):
        needs = of(cells, "wrap-time", seed=seed).needs()
        assert needs == (of(cells, "hico", seed=3), of(cells, "wrap", seed=3))
        assert all(
            need in cells[: cells.index(of(cells, "wrap-time", seed=seed))] for need in needs
        )


class Meeting(Timed):
    """Scripts that go on only when two of them are at work."""

    def __init__(self):
        super().__init__()
        self.barrier, self.most, self.now, self.lock = threading.Barrier(2), 0, 0, threading.Lock()

    def run(self, argv, log, environment):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.barrier.wait(HANGS)
        with self.lock:
            ended = super().run(argv, log, environment)
            self.now -= 1
        return ended


def test_several_scripts_run_at_once_each_after_what_it_needs(go):
    settings = {"hico": "", "wrap": "--queue-wrap full", "t": "--hico-t 0.1"}
    scripts, runner = go(Meeting(), at_once=2, data=ONE["data"], settings=settings, seeds=[0, 1])
    assert scripts.most == 2
    assert {outcome.state for outcome in runner.outcomes.values()} == {DONE}
    for name in scripts.folders:
        run, mode = name.split("/")
        if mode != PRETRAINING and "-random-" not in run:
            earlier = scripts.folders[: scripts.folders.index(name)]
            assert f"{run}/{PRETRAINING}" in earlier


def test_a_signal_ends_all_scripts_and_none_begins(tmp_path):
    program = (
        f"import signal, sys\nsignal.alarm({HANGS})\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})\n"
        "print('ready', flush=True)\nsignal.sigwait({signal.SIGINT})\n"
    )
    children, statuses, logs = Children(print), [], [tmp_path / name for name in "ab"]

    def work(log):
        argv = [sys.executable, "-c", program]
        statuses.append(children.run(argv, log, dict(os.environ)).status)

    with until_signal(children.stop, every=True):
        threads = [threading.Thread(target=work, args=(log,)) for log in logs]
        for thread in threads:
            thread.start()
        wait_until(lambda: all(log.is_file() and log.read_text() for log in logs))
        os.kill(os.getpid(), signal.SIGINT)
        for thread in threads:
            thread.join(HANGS)
    assert statuses == [0, 0]
    assert children.stopped_by == signal.SIGINT


def test_a_stop_lets_no_further_script_begin(go):
    scripts = Timed()
    scripts.stops = {PRETRAINING}
    scripts, runner = go(scripts, **ONE)
    assert scripts.calls == ["knn", "linear", PRETRAINING]
    states = [outcome.state for outcome in runner.outcomes.values()]
    assert states == [DONE] * 2 + [TO_DO] * (len(states) - 2)


def test_a_fault_of_ours_stops_the_scripts_that_are_at_work(go):
    class Faulty(Timed):
        def run(self, argv, log, environment):
            raise OSError("no room")

    scripts = Faulty()
    with pytest.raises(OSError, match="no room"):
        go(scripts, **ONE)
    assert scripts.stopped_by == signal.SIGTERM


# The table


def test_the_interval_is_that_of_students_t():
    for runs in (2, 3, 4, 5, 10):
        theirs = {seed: 60.0 + seed % 3 for seed in range(runs)}
        ours = {seed: theirs[seed] + (seed * 7) % 5 for seed in range(runs)}
        values = [ours[seed] - theirs[seed] for seed in range(runs)]
        mean = sum(values) / runs
        variance = sum((value - mean) ** 2 for value in values) / (runs - 1)
        half = T_975[runs - 1] * math.sqrt(variance / runs)
        found = paired.difference(ours, theirs)
        assert found["runs"] == runs
        assert found["mean"] == pytest.approx(mean)
        assert found["low"] == pytest.approx(mean - half, rel=1e-4)
        assert found["high"] == pytest.approx(mean + half, rel=1e-4)


def test_a_difference_pairs_equal_seeds_only():
    found = paired.difference({2: 70.0, 0: 50.0, 5: 0.0}, {0: 40.0, 1: 99.0, 2: 55.0})
    assert (found["mean"], found["runs"]) == (12.5, 2)
    assert paired.difference({0: 1.0}, {1: 1.0}) is None
    assert paired.difference({0: 3.0}, {0: 1.0}) == {
        "mean": 2,
        "low": None,
        "high": None,
        "runs": 1,
    }


def test_chance_calls_every_test_clip_the_commonest_training_class(tmp_path):
    folder = write_dataset(tmp_path, protocol="cross_subject", train=4, val=4)
    for part, classes in (("train", [2, 1, 1, 1]), ("val", [1, 2, 2, 2])):
        (labels,) = folder.glob(f"{part}*.pkl")
        labels.write_bytes(pickle.dumps((load_labels(labels)[0], classes)))
    options = parser().read(["--datasets", "ntu60", "--data-path", str(tmp_path)])
    assert look(options, XSUB).chance == 25


class Scored(Timed):
    """Scripts whose accuracies differ by setting and seed."""

    def run(self, argv, log, environment):
        ended = super().run(argv, log, environment)
        if log.stem != PRETRAINING:
            path = log.parent / log.stem / "results.json"
            top1 = accuracy(log.parent.name, log.stem)
            content = {"at": {"1": {"top1": top1}}, "complete": True}
            content["runs"] = [{"last": {"top1": top1}, "best": {"top1": 99.0}}]
            path.write_text(json.dumps(content))
        return ended


def accuracy(run, mode):
    return 40 + (sum(run.encode()) * 31 + len(mode) * 17) % 400 / 10


def test_the_table_is_a_plain_recomputation(go, tmp_path):
    _, runner = go(Scored(wrap=2.0), seeds=[0, 1, 2], equal_time=["wrap"])
    text, numbers = paired.save(runner, "the command")
    content = json.loads(numbers.read_text())
    assert content["chance"] == dict.fromkeys(
        ("ntu60 cross_subject", "ntu120 cross_subject"), pytest.approx(100 / 6)
    )
    names = ["random", "hico", "wrap", "random-bone", "bone", "wrap-time"]
    assert [row["setting"] for row in content["rows"]] == names * 2
    for row in content["rows"]:
        for mode in ("knn", "linear"):
            plain = {}
            for setting, stream in ((row["setting"], row["stream"]), ("hico", "joint")):
                start = f"{row['dataset']}-{row['protocol']}-GRU-{stream}-{setting}"
                plain[setting] = [accuracy(f"{start}-seed{seed}", mode) for seed in range(3)]
            ours, theirs = plain[row["setting"]], plain["hico"]
            found = row["scores"][mode]
            assert found["values"] == {str(seed): top1 for seed, top1 in enumerate(ours)}
            assert found["last"]["mean"] == pytest.approx(statistics.mean(ours))
            assert found["last"]["std"] == pytest.approx(statistics.stdev(ours))
            if row["setting"] == "hico":
                assert found["difference"] is None
                continue
            values = [one - other for one, other in zip(ours, theirs, strict=True)]
            half = T_975[2] * statistics.stdev(values) / math.sqrt(3)
            assert found["difference"]["mean"] == pytest.approx(statistics.mean(values))
            assert found["difference"]["high"] == pytest.approx(
                statistics.mean(values) + half, 1e-4
            )
    wrap = content["rows"][2]
    assert (wrap["steps"], wrap["epochs"]) == (30, 10)
    assert wrap["processor_seconds"] == {"0": 20.0, "1": 20.0, "2": 20.0}


def test_the_table_for_people_has_a_line_for_each_setting(go):
    _, runner = go(Scored(wrap=6.0), **ONE, seeds=[0, 1])
    text, _ = paired.save(runner, "the command")
    (line,) = [line for line in text.read_text().splitlines() if line.startswith("| wrap ")]
    row = {row["setting"]: row for row in paired.rows(runner, runner.options.grid)}["wrap"]
    knn = row["scores"]["knn"]
    less = knn["difference"]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1] == f"{knn['last']['mean']:.2f} ± {knn['last']['std']:.2f}"
    assert cells[2] == f"{less['mean']:+.2f} [{less['low']:+.2f}, {less['high']:+.2f}]"
    assert cells[5:] == ["1.0", "30", "2"]
    assert "| chance | 16.67 | – | 16.67 | – | – | – | – |" in text.read_text()
    assert "| **hico** |" in text.read_text()
    assert "## NTU RGB+D 60, cross_subject: 12 clips to train, 6 to test" in text.read_text()
    assert "- wrap: --queue-wrap full" in text.read_text()


def test_what_has_not_ended_is_left_out_and_named(go):
    scripts = Scored()
    scripts.fails = {"linear": "error: the training loss is nan"}
    _, runner = go(scripts, **ONE, seeds=[0])
    text, numbers = paired.save(runner, "x")
    content = json.loads(numbers.read_text())
    assert len(content[FAILED]) == 3
    for row in content["rows"]:
        assert row["scores"]["linear"] == {"values": {}, "last": None, "difference": None}
        assert row["scores"]["knn"]["last"]["runs"] == 1
    assert "- linear of ntu60 cross_subject GRU joint wrap seed 0: the training" in text.read_text()
    assert "## Failed" in text.read_text()


def test_a_data_set_that_is_not_there_is_skipped_and_named(go):
    absent = {"dataset": "ntu60", "protocol": "cross_view"}
    _, runner = go(Scored(), **ONE | {"data": [*ONE["data"], absent]}, seeds=[0])
    text, numbers = paired.save(runner, "x")
    assert "- ntu60 cross_view: no file" in text.read_text()
    assert "cross_view:" not in text.read_text().split("## Settings")[0]
    assert json.loads(numbers.read_text())["chance"]["ntu60 cross_view"] is None


def test_the_plan_of_a_study_runs_and_writes_nothing(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Children, "run", None)
    path, out = write_study(tmp_path, equal_time=["wrap"]), tmp_path / "out"
    monkeypatch.setattr(plan, "calibrate", lambda options: (64.0, "as told"))
    with pytest.raises(SystemExit) as stopped:
        command.main(words(data, path, out, "--plan"))
    said = capsys.readouterr().out
    assert stopped.value.code == 0
    assert not out.exists()
    assert "to do     linear of ntu60 cross_subject GRU joint random seed 0: about" in said
    assert "to do     pretraining of ntu120 cross_subject GRU bone bone seed 1: about" in said
    assert "64 to do; about" in said


# The whole thing


def test_a_study_is_stopped_and_goes_on_from_end_to_end(data, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    common = {PRETRAINING: f"{TINY[PRETRAINING]} --print-freq 1", "linear": TINY["linear"]}
    long = [{"dataset": "ntu60", "protocol": "xsub", "pretraining": "--epochs 24"}]
    settings = {"hico": "", "bone": "--skeleton-representation bone"}
    path = write_study(tmp_path, data=long, common=common, settings=settings, equal_time=["bone"])
    out = tmp_path / "out"
    argv = [sys.executable, "-m", "tools.reproduce", *words(data, path, out, "--at-once", "2")]
    log = out / "ntu60-cross_subject-GRU-joint-hico-seed0" / "pretraining.log"
    said = interrupted(argv, environment, log)
    assert "go on with: python -m tools.reproduce --study" in said
    part = json.loads(log.with_suffix(".json").read_text())
    assert "seconds" not in part
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resumed from" in log.read_text()
    whole = json.loads(log.with_suffix(".json").read_text())
    assert whole["processor_seconds"] > part["processor_seconds"] > 0
    rows = json.loads((out / "study.json").read_text())["rows"]
    assert [row["setting"] for row in rows] == [
        "random",
        "hico",
        "random-bone",
        "bone",
        "bone-time",
    ]
    agree_with_results(rows, out)
    again = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert "[" not in again.stdout


def agree_with_results(rows, out):
    for row in rows:
        folder = f"ntu60-cross_subject-GRU-{row['stream']}-{row['setting']}"
        for seed in (0, 1):
            found = json.loads((out / f"{folder}-seed{seed}/knn/results.json").read_text())
            assert row["scores"]["knn"]["values"][str(seed)] == found["at"]["1"]["top1"]
            found = json.loads((out / f"{folder}-seed{seed}/linear/results.json").read_text())
            assert row["scores"]["linear"]["values"][str(seed)] == found["runs"][0]["last"]["top1"]
            settings = found["settings"]
            assert settings["data"]["stream"] == row["stream"]
            assert settings["pretrained"].endswith(
                ("random", f"{folder}-seed{seed}/checkpoint_last.pth.tar")
            )
