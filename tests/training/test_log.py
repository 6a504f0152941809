"""What a run says: rows on disk, a bar on a terminal, lines elsewhere."""

import json
import os

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tqdm import tqdm

from tools.training import log
from tools.training.log import METRICS, RunLog

ROW = {"epoch": 2, "batch": 1, "step": 9, "loss": 1.5, "instance_accuracy": 0.25}
ROW |= {"learning_rate": 0.01, "clips_per_second": 100.0}
LINE = "epoch   2  batch    1/4  loss 1.5000  instance accuracy 25.0%  lr 0.01  100 clips/s"


@pytest.fixture
def now(monkeypatch):
    """A clock that a test moves; a list of one number of seconds."""
    time = [0.0]
    monkeypatch.setattr(log, "clock", lambda: time[0])
    return time


def events(folder):
    """What TensorBoard has: tag to pairs of step and value."""
    found = EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def hyperparameters(folder):
    """Those that TensorBoard shows, by name."""
    content = EventAccumulator(str(folder)).Reload().PluginTagToContent("hparams")
    told = HParamsPluginData.FromString(content["_hparams_/session_start_info"])
    return told.session_start_info.hparams


def test_elsewhere_lines_come_at_most_one_in_so_many_seconds_and_the_last_at_the_end(
    tmp_path, now, capsys
):
    run = RunLog(tmp_path, steps=4, epochs=3, watched=["instance_accuracy"], seconds=30)
    for second in (0, 10, 29, 31, 40):
        now[0] = second
        run.advance()
        run.write(ROW | {"batch": second})
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in said] == ["0/4", "31/4"]
    assert said[0].startswith(LINE.replace("1/4", "0/4"))
    assert said[1].endswith(", 01:02 left")  # 4 of 12 steps took 31 s
    run.close()
    (last,) = capsys.readouterr().out.splitlines()
    assert last.split()[3] == "40/4"


def test_a_terminal_shows_one_bar_for_the_whole_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(log.sys.stderr, "isatty", lambda: True)
    run = RunLog(tmp_path, steps=4, epochs=3, first_step=4, watched=["instance_accuracy"])
    run.score("KNN 43.1 % (best 44.0, chance 6.2)")
    for epoch in (1, 2):
        run.start_epoch(epoch)
        for _ in range(4):
            run.advance()
        run.write(ROW)
        run.end_epoch()
    assert LINE not in capsys.readouterr().out
    run.close()
    shown = capsys.readouterr()
    assert shown.out.count("\n") == 1
    assert "epoch 2/2 100%|" in shown.err


def test_a_terminal_that_says_no_width_gets_lines(tmp_path, monkeypatch, capsys):
    ours, theirs = os.openpty()  # 0 columns, as in a container or a job without a window
    with os.fdopen(ours), os.fdopen(theirs, "w") as stream:
        assert stream.isatty()
        monkeypatch.setattr(log.sys, "stderr", stream)
        run = RunLog(tmp_path, steps=4, epochs=3, watched=["instance_accuracy"])
        run.advance()
        run.write(ROW)
        assert LINE in capsys.readouterr().out
        run.close()


def test_eighty_columns_hold_how_far_it_is_loss_score_and_chance(tmp_path, monkeypatch):
    monkeypatch.setattr(log.sys.stderr, "isatty", lambda: True)
    run = RunLog(tmp_path, steps=4, epochs=451)
    run.score("KNN 43.1 % (best 44.0, chance 6.2)")
    run.start_epoch(350)
    run.write(ROW | {"loss": 21.345678})
    bar = tqdm.format_meter(**run._bar.format_dict | {"elapsed": 2e5, "n": 1404, "ncols": 79})
    run.close()
    assert bar.startswith("epoch 350/450 78%|")
    assert bar.endswith("loss 21.3 KNN 43.1 % (best 44.0, chance 6.2)")
    assert len(bar) <= 79


def test_rows_and_events_hold_the_same_numbers_in_groups(tmp_path):
    run = RunLog(tmp_path, steps=4, epochs=3, watched=["instance_accuracy"])
    training, watch = {"lr": 0.5, "schedule": (1, 2)}, {"knn_every": 3}
    run.describe({"training": training, "recipe": None, "watch": watch})
    run.write(ROW | {"clip": 0.5})
    run.record({"epoch": 2, "batch": 4, "step": 12, "eval/knn1": 50.0})
    run.record({"epoch": 2, "batch": 4, "step": 12, "features/rank": 7.0}, on_disk=False)
    run.close()
    rows = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert rows == [
        ROW | {"clip": 0.5},
        {"epoch": 2, "batch": 4, "step": 12, "eval/knn1": 50.0},
    ]
    assert events(tmp_path) == {
        "loss/total": [(9, 1.5)],
        "loss/clip": [(9, 0.5)],
        "train/instance_accuracy": [(9, 0.25)],
        "train/learning_rate": [(9, pytest.approx(0.01))],
        "speed/clips_per_second": [(9, 100.0)],
        "eval/knn1": [(12, 50.0)],
        "features/rank": [(12, 7.0)],
    }
    assert set(hyperparameters(tmp_path)) == {"training/lr", "training/schedule", "recipe"}


def test_rows_beyond_a_step_and_half_lines_are_dropped(tmp_path):
    path = tmp_path / METRICS
    rows = "".join(json.dumps({"step": step}) + "\n" for step in range(1, 6))
    path.write_text(rows + '{"step": 1, "lo')
    RunLog(tmp_path, steps=4, epochs=3, first_step=3).close()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_a_run_from_the_start_has_no_rows_of_another_one(tmp_path):
    (tmp_path / METRICS).write_text('{"step": 0, "eval/knn1": 10.0}\n')
    run = RunLog(tmp_path, steps=4, epochs=3)
    run.close()
    assert (run.earlier, (tmp_path / METRICS).read_text()) == ([], "")
