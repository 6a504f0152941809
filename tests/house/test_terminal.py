"""What files say reaches the terminal as text."""

import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from dataset.reading import reading
from options.terminal import escaped_output, printable
from tests.support.other_formats import draw_recordings, pyskl_content, write_pickle
from tests.support.paths import ROOT
from tools.errors import one_line_errors
from tools.prepare.__main__ import main
from tools.training.log import RunLog


def test_control_characters_are_shown_not_obeyed():
    text = printable("a\x1b[2Jb\rc\x9b\u202ed\ud800e\tf\n")
    assert text == "a\\x1b[2Jb\\rc\\x9b\\u202ed\\ud800e\tf\n"
    assert printable("Größe 体\n") == "Größe 体\n"
    assert printable("体", encoding="ascii") == "\\u4f53"


def test_all_that_a_command_prints_is_escaped(capsys):
    @one_line_errors()
    def command():
        print("name \x1b[31m")
        print("bad\x1b]0;title\x07", file=sys.stderr)
        raise ValueError("file \x1b[2J")

    with pytest.raises(SystemExit):
        command()
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert printed.out == "name \\x1b[31m\n"
    assert printed.err == "bad\\x1b]0;title\\x07\nerror: file \\x1b[2J\n"


def test_a_bar_may_return_to_the_start_of_its_line(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    stream = sys.stderr
    with escaped_output():
        sys.stderr.write("\r10%")
        print("a\rb")
    assert stream.getvalue() == "\r10%"


def test_a_process_that_is_to_print_nothing_prints_nothing(capsys):
    with redirect_stdout(None), escaped_output():
        print("a")
        print("b", file=sys.stderr)
    assert capsys.readouterr() == ("", "b\n")


def test_names_in_a_pickle_reach_the_terminal_escaped(tmp_path, capsys):
    content = pyskl_content(draw_recordings())
    content["annotations"][0]["frame_dir"] = "\x1b[2Jgone"
    content["split"]["xsub_train"].append("\x1b[2Jgone")
    path = write_pickle(tmp_path / "x.pkl", content)
    with pytest.raises(SystemExit):
        main(["pyskl", "--raw", str(path), "--out", str(tmp_path / "data")])
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err


@pytest.mark.parametrize("error", [IndexError("a\nb"), MemoryError(), RecursionError("deep")])
def test_whatever_a_reader_raises_becomes_one_line(error):
    told = pytest.raises(ValueError, match=r"x is not a file \(.+\); look$")
    with told as caught, reading("x", "a file", "look"):
        raise error
    assert "\n" not in str(caught.value)


def test_the_systems_own_errors_pass():
    with pytest.raises(FileNotFoundError), reading("x", "a file"):
        Path("/nowhere/x").read_bytes()


def test_a_description_nested_without_end_is_one_line(tmp_path, capsys):
    (tmp_path / "x.npy").write_bytes(b"")
    (tmp_path / "dataset.json").write_text("[" * 10**5)
    with pytest.raises(SystemExit) as exit_:
        main(["custom", "--raw", str(tmp_path), "--out", str(tmp_path / "data")])
    assert exit_.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "dataset.json").write_text(json.dumps({"name": [1]}))
    with pytest.raises(SystemExit):
        main(["custom", "--raw", str(tmp_path), "--out", str(tmp_path / "data")])
    assert capsys.readouterr().err.count("\n") == 1


def closed(*commands: str) -> str:
    """Run lines of Python in a process whose standard streams are closed; what it says to a pipe.

    It checks that no file took the place of a stream.
    """
    code = f"""
import os, sys
assert sys.stdout is None and sys.stderr is None
from tools.errors import one_line_errors
with one_line_errors():
    print("a")
    print("b", file=sys.stderr)
    with open(os.devnull) as file:
        assert file.fileno() > 2
{"".join(commands)}
assert sys.stdout is None
os.write(int(sys.argv[1]), b"done")
"""
    heard, said = os.pipe()
    command = [sys.executable, "-c", code, str(said)]
    shell = 'exec "$@" <&- >&- 2>&-'
    subprocess.run(["sh", "-c", shell, "sh", *command], cwd=ROOT, pass_fds=[said], check=False)
    os.close(said)
    with os.fdopen(heard) as file:
        return file.read()


def test_a_command_whose_streams_are_closed_goes_on_and_no_file_takes_their_place():
    assert closed() == "done"


def test_the_log_of_a_run_without_streams_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    run = RunLog(tmp_path, steps=1, epochs=1)
    run.say("a")
    run.close()


@pytest.mark.parametrize(
    ("size", "shell", "fault"),
    [
        (1, ">/dev/full", "No space left"),  # which only shows when all is flushed
        (10**6, ">/dev/full", "No space left"),
        (10**6, "| :", "Broken pipe"),
    ],
)
def test_where_what_is_printed_finds_no_place_there_is_one_line(size, shell, fault):
    code = "from tools.errors import one_line_errors\nwith one_line_errors():\n print('a' * SIZE)"
    code = code.replace("SIZE", str(size))
    script = f'{{ "$@" 2>&3; echo $? >&3; }} 3>&2 {shell}'
    command = ["sh", "-c", script, "sh", sys.executable, "-c", code]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=buffered)
    line, status = done.stderr.splitlines()
    assert re.match(f"error: what is printed finds no place: {fault}", line)
    assert status == "2"
