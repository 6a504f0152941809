"""What a program imports: how quickly it answers, told without a clock."""

import json
import subprocess
import sys

from tests.support.paths import ROOT

OURS = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}


def imported_by(program: str) -> tuple[str, list[str], int]:
    """Run a program, which may exit with status 0, in a process of its own.

    Returns:
        What it printed, the packages it imported that are neither ours nor of the standard library,
        and how many modules it imported.
    """
    whole = (
        "import atexit, json, sys\n"
        "before = set(sys.modules)\n"
        "after = lambda: sorted(set(sys.modules) - before)\n"
        "atexit.register(lambda: print(json.dumps(after()), file=sys.stderr))\n"
    ) + program
    command = [sys.executable, "-c", whole]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    names = json.loads(done.stderr)
    packages = {name.split(".")[0] for name in names}
    return done.stdout, sorted(packages - OURS - sys.stdlib_module_names), len(names)
