"""Error lines."""

import os
import re
import subprocess
import sys

import pytest
import torch

from tools.errors import ROOT, one_line_errors


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


def without(packages, command, tmp_path):
    """Run Python in an empty folder where these packages are not installed."""
    for package in packages:
        fault = f"raise ModuleNotFoundError('no package', name={package!r})\n"
        (tmp_path / f"{package}.py").write_text(fault)
    return subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("package", ["torch", "numpy", "tqdm"])
def test_a_package_that_is_not_installed_is_named_with_the_next_step(package, tmp_path):
    program = (
        f"from tools.errors import one_line_errors\nwith one_line_errors():\n import {package}"
    )
    done = without([package], ["-c", program], tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"error: the package {package} is missing in {sys.executable}; use the project's "
        ".venv/bin/python, or run pip install -r requirements.txt\n"
    )


COMMANDS = {
    "pretraining.py": "",
    "action_classification.py": "--pretrained x",
    "action_retrieval.py": "--pretrained x",
    "-m tools.features": "--pretrained x --output x.npz",
    "-m tools.ensemble": "a b",
    "-m tools.compare": "a=b",
    "-m tools.benchmark": "",
    "-m tools.prepare": "ntu --raw . --out x",
}
"""Every command, with what it must be given."""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_without_its_requirements_says_so_in_one_line(command, tmp_path):
    program = [str(ROOT / command)] if command.endswith(".py") else command.split()
    done = without(["torch", "numpy", "tqdm"], [*program, *COMMANDS[command].split()], tmp_path)
    assert done.returncode == 2
    assert re.fullmatch(r"error: .*\n", done.stderr)
    if command != "-m tools.compare":  # which may do without
        assert re.match(r"error: the package (torch|numpy|tqdm) is missing in ", done.stderr)


@pytest.mark.parametrize("module", ["tools.no_such_module", "statistics.none", None])
def test_a_module_of_ours_or_of_python_that_is_missing_is_a_bug(module):
    with pytest.raises(ModuleNotFoundError), one_line_errors():
        raise ModuleNotFoundError("bug", name=module)
