"""Error lines."""

import subprocess
import sys

import pytest
import torch

from tools.errors import one_line_errors


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, FloatingPointError])
def test_an_expected_error_is_one_line_and_status_2(capsys, error):
    with pytest.raises(SystemExit) as stopped, one_line_errors():
        raise error("first\nsecond")
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "error: first second\n"


def test_a_full_device_is_told_what_to_do(capsys):
    with pytest.raises(SystemExit), one_line_errors():
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")
    assert "choose a smaller --batch-size" in capsys.readouterr().err


def test_an_unexpected_error_keeps_its_traceback(monkeypatch):
    with pytest.raises(KeyError), one_line_errors():
        raise KeyError("bug")
    monkeypatch.setenv("HICO_TRACEBACK", "1")
    with pytest.raises(ValueError, match="where from"), one_line_errors():
        raise ValueError("where from")


def test_error_lines_need_no_torch():
    code = "import sys, tools.errors; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
