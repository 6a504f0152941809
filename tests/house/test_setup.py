"""The shell scripts: what is missing is named in one line, and a second run installs nothing."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.waiting import heeding_interrupts, wait_until

BASH = shutil.which("bash")
pytestmark = pytest.mark.skipif(BASH is None, reason="needs bash")

RAW = "data/synthetic/raw"
"""Where the quickstart's raw recordings lie."""
SET_UP = "set -euo pipefail; source tools/setup.sh; set_up requirements.txt; echo ready"


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{BASH}\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def project(tmp_path):
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "setup.sh", tmp_path / "tools")
    (tmp_path / "requirements.txt").write_text("one\n")
    return tmp_path


def run(project: Path, python: Path | str, command: str = SET_UP) -> subprocess.CompletedProcess:
    return subprocess.run(
        [BASH, "-c", command],
        cwd=project,
        env={**os.environ, "PYTHON": str(python)},
        capture_output=True,
        text=True,
        check=False,
    )


def python_that(project: Path, *, installs: bool = True) -> Path:
    """A Python whose venv module copies itself, and whose pip only writes down what it is told."""
    calls = project / "calls"
    return program(
        project / "bin" / "python3",
        f"""case "$*" in
*"-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python; echo venv >>{calls} ;;
*"-m pip"*) echo "$*" >>{calls}; exit {0 if installs else 1} ;;
*) exec {sys.executable} "$@" ;;
esac""",
    )


def test_an_old_or_absent_python_is_one_line_with_the_command_that_brings_it(project):
    for python in (project / "nowhere", program(project / "old", "exit 1")):
        done = run(project, python)
        assert done.returncode == 2
        assert done.stderr.startswith("error: Python 3.10 or later is missing; bring it with: ")
        assert done.stderr.count("\n") == 1
        assert "ready" not in done.stdout


def test_a_python_without_venv_is_one_line_with_the_command_that_brings_it(project):
    python = program(
        project / "bare",
        f'case "$*" in *ensurepip*) exit 1 ;; *) exec {sys.executable} "$@" ;; esac',
    )
    done = run(project, python)
    assert done.returncode == 2
    assert done.stderr.startswith("error: Python's venv module is missing; bring it with: ")
    assert done.stderr.count("\n") == 1


def test_requirements_are_installed_once_and_again_when_they_change(project):
    python = python_that(project)
    install = "-m pip install --quiet --requirement requirements.txt"
    for _ in range(2):
        done = run(project, python)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("ready\n")
    assert (project / "calls").read_text().splitlines() == ["venv", install]
    (project / "requirements.txt").write_text("two\n")
    run(project, python)
    assert (project / "calls").read_text().splitlines() == ["venv", install, install]


def test_a_failed_installation_is_an_error_and_tried_again(project):
    assert run(project, python_that(project, installs=False)).returncode == 2
    python = python_that(project)
    shutil.copy(python, project / ".venv" / "bin" / "python")
    done = run(project, python)
    assert done.returncode == 0
    assert "installing requirements.txt" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--seed", "--seed: usage is ./quickstart.sh [--seed N] [--keep]"),
        ("--sead 3", "--sead 3: usage is ./quickstart.sh [--seed N] [--keep]"),
        ("--keep --seed", "--keep --seed: usage is ./quickstart.sh [--seed N] [--keep]"),
        ("--seed x", "--seed x: choose a whole number, 0 or more"),
    ],
)
def test_the_quickstart_refuses_what_it_does_not_know(project, arguments, says):
    shutil.copy(ROOT / "quickstart.sh", project)
    done = run(project, python_that(project), f"bash quickstart.sh {arguments}")
    assert (done.returncode, done.stderr) == (2, f"error: {says}\n")
    assert not (project / "calls").exists()


def quickstart(project, *arguments):
    """Run the quickstart with a Python that only says what it is asked for; return what was said.

    It leaves one raw recording where `tools.prepare synthetic` would.
    """
    shutil.copy(ROOT / "quickstart.sh", project)
    python = program(
        project / "bin" / "python3",
        f"""case "$*" in
*"-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
*"-m pip"*) ;;
*"tools.prepare synthetic"*) mkdir -p {RAW}; touch {RAW}/S001.skeleton; echo "$*" ;;
*pretraining.py*) echo '{{"eval/chance": 6.25}}' >checkpoints/quickstart/metrics.jsonl; echo "$*" ;;
*"-m tools"*|*.py*) echo "$*" ;;
*) exec {sys.executable} "$@" ;;
esac""",
    )
    done = run(project, python, f"bash quickstart.sh {' '.join(arguments)}")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_quickstart_says_what_it_removes_and_leaves_no_raw_recordings(project):
    assert "removing" not in quickstart(project)
    assert not (project / RAW).exists()
    said = quickstart(project, "--keep", "--seed", "4")
    assert "removing data/synthetic of an earlier quickstart" in said
    assert "removing checkpoints/quickstart of an earlier quickstart" in said
    assert (project / RAW / "S001.skeleton").is_file()


def test_the_quickstart_ends_with_its_figures_and_three_commands(project):
    said = quickstart(project)
    assert "--knn-every" in said
    said, following = said.split("next, for instance:\n")
    assert len(following.splitlines()) == 3
    figures = said.split("-m tools.compare")[1]
    assert "the training clips is right for 6.2\n" in figures
    assert "look at checkpoints/quickstart/report.html" in figures
    assert "-m tools.report checkpoints/quickstart" in said


@pytest.mark.parametrize("script", ["pretraining", "action_retrieval"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_for_the_quickstart_ends_what_it_runs_in_one_line(project, script, number, status):
    quickstart(project)
    python = project / ".venv" / "bin" / "python"
    works = f"""case "$*" in *{script}.py*)
trap 'echo stopped >&2; echo >{project}/ended; exit 143' TERM; echo >{project}/works
for turn in {{1..100}}; do sleep 0.1; done ;;
esac"""
    program(python, f"{works}\n{python.read_text()}")
    command = heeding_interrupts([BASH, "quickstart.sh"])
    with subprocess.Popen(command, cwd=project, stderr=subprocess.PIPE, text=True) as running:
        wait_until((project / "works").exists, running)
        running.send_signal(number)
        said = running.communicate(timeout=60)[1]
    assert (running.returncode, said) == (status, "stopped\n")
    assert (project / "ended").exists()


@pytest.mark.parametrize("browser", [True, False])
def test_ci_brings_a_browser_where_there_is_none_and_calls_exactly_the_test_script(
    tmp_path, browser
):
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    program(tmp_path / "test.sh", 'echo "tests: $#"')
    for name, says in (("apt-get", 'echo "apt-get $1" >&2'), ("dirname", "/usr/bin/dirname $*")):
        program(tmp_path / "bin" / name, says)
    if browser:
        program(tmp_path / "bin" / "chromium", "")
    (tmp_path / "bin" / "bash").symlink_to(BASH)
    done = subprocess.run(
        [BASH, tmp_path / ".ci" / "run"],
        cwd="/",
        env={"PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "tests: 0\n"
    asked = done.stderr.splitlines()
    assert asked == ([] if browser else ["apt-get update", "apt-get install"])


@pytest.mark.parametrize("name", ["quickstart.sh", "test.sh", ".ci/run", "tools/setup.sh"])
def test_scripts_parse_and_can_be_called(name):
    subprocess.run([BASH, "-n", ROOT / name], check=True)
    assert name == "tools/setup.sh" or os.access(ROOT / name, os.X_OK)
