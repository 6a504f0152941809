"""A killed preparation loses and mixes nothing, whatever the format and the moment."""

import re
import subprocess
import sys

from tests.support.paths import ROOT


def test_a_kill_at_any_moment_leaves_old_or_new_and_a_restart_the_same_bytes():
    command = [sys.executable, "-m", "tests.prepare.kills", "--count", "11", "--seed", "1"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.match(r"11 kills of frame50, .*, custom, agcn, stgcn, .*: 0 faults", ended.stdout)
