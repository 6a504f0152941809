"""What a run says: rows on disk, a bar on a terminal, lines elsewhere."""

import json

import pytest

from tools.training import log
from tools.training.log import METRICS, RunLog

ROW = {"epoch": 2, "batch": 1, "step": 9, "loss": 1.5, "instance_accuracy": 0.25}
ROW |= {"learning_rate": 0.01, "clips_per_second": 100.0}
LINE = "epoch   2  batch    1/4  loss 1.5000  instance accuracy 25.0%  lr 0.01  100 clips/s"


@pytest.mark.parametrize("terminal", [True, False])
def test_each_epoch_leaves_its_last_row_behind(tmp_path, monkeypatch, capsys, terminal):
    monkeypatch.setattr(log.sys.stderr, "isatty", lambda: terminal)
    run = RunLog(tmp_path, steps=4, epochs=3, watched=["instance_accuracy"])
    run.start_epoch(2)
    run.advance()
    run.write(ROW)
    before = capsys.readouterr()
    assert (LINE in before.out) is not terminal
    assert ("epoch 2/2" in before.err) is terminal
    run.end_epoch()
    assert (LINE in capsys.readouterr().out) is terminal
    run.close()
    assert json.loads((tmp_path / METRICS).read_text()) == ROW


def test_rows_beyond_a_step_and_half_lines_are_dropped(tmp_path):
    path = tmp_path / METRICS
    rows = "".join(json.dumps({"step": step}) + "\n" for step in range(1, 6))
    path.write_text(rows + '{"step": 1, "lo')
    RunLog(tmp_path, steps=4, epochs=3, first_step=3).close()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]
