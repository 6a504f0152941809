"""SIGINT and SIGTERM at any moment: one line, 130 or 143, nobody left behind."""

import os
import signal
import subprocess
import sys

import pytest

from tests.support.paths import ROOT
from tests.support.waiting import HANGS, heeding_interrupts, wait_until

SIGNALS = [signal.SIGINT, signal.SIGTERM]
PROGRAMS = [
    ["pretraining.py"],
    ["action_classification.py"],
    ["action_retrieval.py"],
    *(["-m", f"tools.{name}"] for name in ("features", "ensemble", "compare")),
    *(["-m", f"tools.{name}"] for name in ("benchmark", "prepare", "reproduce")),
]
AT_IMPORT = """
import os, runpy, sys
class Sender:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Sender())
sys.argv = {argv!r}
sys.path.insert(0, "")
{run}
"""


def signalled_at_import(program, module, number):
    """Run a program that is sent a signal when it is about to import a module."""
    if program[0] == "-m":
        run = f"runpy.run_module({program[1]!r}, run_name='__main__', alter_sys=True)"
    else:
        run = f"runpy.run_path({program[0]!r}, run_name='__main__')"
    text = AT_IMPORT.format(module=module, number=int(number), argv=[program[-1]], run=run)
    command = heeding_interrupts([sys.executable, "-c", text])
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANGS)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program[-1])
def test_a_signal_amid_the_first_imports_is_one_line(program):
    for number in SIGNALS:
        done = signalled_at_import(program, "options.parser", number)
        assert done.returncode == 128 + number
        assert done.stderr == f"stopped by {number.name}\n"
        assert done.stdout == ""


@pytest.mark.parametrize("module", ["numpy", "torch", "torch.nn", "torch._dynamo"])
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_amid_a_heavy_import_is_one_line(module, number, tmp_path):
    run = "import tools.signals\ntools.signals.answer_signals()\nimport torch, torch._dynamo"
    text = AT_IMPORT.format(module=module, number=int(number), argv=["x"], run=run)
    command = heeding_interrupts([sys.executable, "-c", text])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANGS)
    assert (done.returncode, done.stderr) == (128 + number, f"stopped by {number.name}\n")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_leaves_no_half_written_file(number, tmp_path):
    text = (
        "import os, pathlib, sys\n"
        "from tools.signals import answer_signals\n"
        "from tools.files import write_whole\n"
        "answer_signals()\n"
        "def stop(file):\n"
        "    file.write(b'half')\n"
        "    os.kill(os.getpid(), int(sys.argv[2]))\n"
        "write_whole(pathlib.Path(sys.argv[1]) / 'file', stop)\n"
    )
    command = [sys.executable, "-c", text, str(tmp_path), str(int(number))]
    done = subprocess.run(heeding_interrupts(command), cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (128 + number, f"stopped by {number.name}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_signal_that_is_ignored_stays_ignored():
    text = (
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from tools.signals import answer_signals\n"
        "answer_signals()\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
    )
    subprocess.run([sys.executable, "-c", text], cwd=ROOT, check=True)


def members(group):
    """Living processes of a process group."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                state, _, its_group = file.read().rpartition(")")[2].split()[:3]
        except OSError:  # it has just ended
            continue
        if int(its_group) == group and state != "Z":
            found.append(int(name))
    return found


@pytest.mark.parametrize("number", SIGNALS)
def test_inventing_recordings_leaves_no_worker_behind(number, tmp_path):
    command = [sys.executable, "-m", "tools.prepare", "synthetic", "--out", str(tmp_path / "raw")]
    process = subprocess.Popen(
        heeding_interrupts([*command, "-j", "2"]),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: any(tmp_path.glob("raw/*.skeleton")), process)
    process.send_signal(number)
    _, said = process.communicate(timeout=HANGS)
    assert (process.returncode, said) == (128 + number, "interrupted\n")
    wait_until(lambda: not members(process.pid))
    assert not list(tmp_path.glob("raw/.*.tmp"))
