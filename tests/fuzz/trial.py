"""One damaged file after another, read; what becomes of each."""

import random
import re
import signal
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.fuzz.subjects import SUBJECTS, Subject, damage

OUTCOMES = ("read", "refused", "wrong", "traceback", "slow", "large")
GOOD = OUTCOMES[:2]
CPU_SECONDS = 2.0
SAMPLES = 4  # variants of a format: protocols, compression, types
_LARGE = re.compile(r"MemoryError|[Uu]nable to allocate|can't allocate|not enough memory")


class SlowError(BaseException):
    """Raised in a reader that has taken too much of the processor."""


class Trial(NamedTuple):
    """What became of a damaged file, and why, in one line."""

    outcome: str
    why: str = ""


def same(one: Any, other: Any, tolerance: float = 0.0) -> bool:
    """Whether two answers are equal, arrays by type of number and value."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        one, other = np.asarray(one), np.asarray(other)
        if tolerance and one.shape == other.shape:
            return np.allclose(one, other, rtol=0, atol=tolerance * max(1, np.abs(one).max()))
        return one.shape == other.shape and np.array_equal(
            one, other, equal_nan=one.dtype.kind == "f"
        )
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (one != one and other != other)


@contextmanager
def limited() -> Iterator[None]:
    """Raise SlowError after two seconds of this process' own time, however busy the machine is."""

    def stop(number: int, frame: object) -> None:
        raise SlowError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def judge(subject: Subject, folder: Path, original: Any) -> Trial:
    """Read a damaged sample."""
    try:
        with limited():
            answer = subject.read(folder)
    except SlowError:
        return Trial("slow")
    except (ValueError, OSError) as error:
        text = str(error)
        if _LARGE.search(text):
            return Trial("large", text)
        return Trial("refused", text) if text.strip() else Trial("traceback", "without a word")
    except MemoryError as error:
        return Trial("large", repr(error))
    except Exception:
        return Trial("traceback", traceback.format_exc(limit=-3))
    try:
        if same(answer, subject.plain(folder), subject.tolerance):
            return Trial("read")
        why = "other than the plain reader"
    except Exception as error:
        why = f"the plain reader says {error!r}"
    return Trial("read") if same(answer, original) else Trial("wrong", why)


def trials(what: str, numbers: range, seed: int, only: str = "") -> Iterator[tuple[int, Trial]]:
    """Damage and read samples of one format.

    Args:
        what: a key of SUBJECTS.
        numbers: of the damaged files; a number and the seed give one file.
        seed: of all of them.
        only: the one way to damage them; "" is all of the format's.
    """
    subject = SUBJECTS[what]
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="hico-fuzz-") as top:
        samples = [Path(top, "whole" + "x" * number) for number in range(SAMPLES)]
        originals, contents = [], []
        for folder in samples:
            folder.mkdir()
            contents.append([(path, path.read_bytes()) for path in subject.write(folder)])
            originals.append(subject.read(folder))
            plain = subject.plain(folder)
            assert same(originals[-1], plain, subject.tolerance), f"{what}: the sample itself"
        for number in numbers:
            draw = random.Random(f"{what} {seed} {number}")
            chosen = draw.randrange(SAMPLES)
            paths = [path for path, _ in contents[chosen]]
            damage(subject, paths, draw, only)
            yield number, judge(subject, samples[chosen], originals[chosen])
            for path, content in contents[chosen]:
                path.write_bytes(content)


def count(what: str, numbers: range, seed: int, only: str = "") -> tuple[Counter, list[str]]:
    """The number of trials of each outcome, and what is to be said of those that are not good."""
    counts, faults = Counter(), []
    for number, trial in trials(what, numbers, seed, only):
        counts[trial.outcome] += 1
        if trial.outcome not in GOOD:
            faults.append(f"{what} {seed} {number}: {trial.outcome}: {trial.why}")
    return counts, faults
