"""Damage files of every format, read them, count: `python -m tests.fuzz --count N --seed S`."""

import argparse
import json
import resource
import subprocess
import sys
from collections import Counter

CHUNK = 2500  # files a child; what a dead child took with it is counted as a crash


def main() -> None:
    """Print a table: for each format, how many files were read, refused, and worse."""
    from tests.fuzz.mutations import MUTATIONS
    from tests.fuzz.subjects import SUBJECTS
    from tests.fuzz.trial import OUTCOMES

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("what", nargs="*", help=f"of {', '.join(SUBJECTS)}; default: all")
    parser.add_argument("--count", type=int, default=1000, help="files of each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=MUTATIONS, default="", help="one way to damage them")
    options = parser.parse_args()
    if strangers := set(options.what) - SUBJECTS.keys():
        parser.error(f"{', '.join(strangers)}: known are {', '.join(SUBJECTS)}")
    bad = 0
    print(f"{'format':14}" + "".join(f"{name:>10}" for name in (*OUTCOMES, "crash")))
    for what in options.what or SUBJECTS:
        counts: Counter = Counter()
        for begin in range(0, options.count, CHUNK):
            counts += child(what, begin, min(begin + CHUNK, options.count), options)
        print(
            f"{what:14}" + "".join(f"{counts[name]:10,}" for name in (*OUTCOMES, "crash")),
            flush=True,
        )
        bad += sum(counts.values()) - counts["read"] - counts["refused"]
    sys.exit(bad > 0)


def child(what: str, begin: int, end: int, options: argparse.Namespace) -> Counter:
    """Read some damaged files in a process of limited memory and time."""
    given = (what, begin, end, options.seed, options.only)
    code = f"from tests.fuzz.__main__ import work; work(*{given!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False
    )
    lines = done.stdout.splitlines()
    if done.returncode == 0:
        return Counter(json.loads(lines[-1]))
    print(
        f"{what} {options.seed} from {begin}: exit {done.returncode} after {lines[-1:]}",
        file=sys.stderr,
    )
    return Counter(crash=1)


def work(what: str, begin: int, end: int, seed: int, only: str) -> None:
    """Do what a child does: its own memory and 1 GiB more, and ten minutes of the processor."""
    from tests.fuzz.trial import count

    with open("/proc/self/statm") as file:
        held = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + 2**30, held + 2**30))
    resource.setrlimit(resource.RLIMIT_CPU, (600, 600))
    counts, faults = count(what, range(begin, end), seed, only)
    for fault in faults:
        print(fault, file=sys.stderr)
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
