"""An NTU file in its usual layout, read at once: thousands of numbers in a few array operations.

Usual is: one space between words, lines that end in LF or CR LF, 10 words in a body's header, 12 in
a joint's line, nothing behind the last. `tools.prepare.formats.ntu` reads all other layouts.

A decimal such as -0.1234567 is a whole number over a power of ten. As long as both are exact in
float64, one division gives the float64 that `float` gives; any other notation is left to `float`.

Axes: F frames, B bodies in all of them, V=25 joints, C=3 coordinates, D decimals, W their bytes.
"""

from typing import NamedTuple

import numpy as np

from dataset.skeleton import MAX_FRAMES, NUM_COORDINATES, NUM_JOINTS

_HEADER, _JOINT = 10, 12  # words
_BODY = _HEADER + 1 + NUM_JOINTS * _JOINT
_LINE_ENDS = np.array([_HEADER - 1, *range(_HEADER, _BODY, _JOINT)])
"""Of a body's words, those that end a line."""
_XYZ = _HEADER + 1 + np.add.outer(_JOINT * np.arange(NUM_JOINTS), np.arange(NUM_COORDINATES))
"""Of a body's words, the coordinates: (V, C)."""
_SPACE, _LINE_FEED, _RETURN, _MINUS, _POINT, _ZERO = b" \n\r-.0"
_WIDTH = 12  # W: one digit, the point, ten digits
_SCALE = 10.0 ** (_WIDTH - 2)
_WEIGHTS = np.array([_SCALE, 0.0, *(10.0**power for power in range(_WIDTH - 3, -1, -1))])
_WITHIN = np.tri(_WIDTH + 1, _WIDTH, -1, dtype=np.uint8)  # row n: n ones, then zeros


class Bodies(NamedTuple):
    """All bodies of a file.

    Attributes:
        num_frames: F.
        frames: (B,) the frame that each is in.
        places: (B,) its place among the bodies of that frame.
        joints: (B, V, C) float64 metres, all finite.
    """

    num_frames: int
    frames: np.ndarray
    places: np.ndarray
    joints: np.ndarray


def read_regular(content: bytes) -> Bodies | None:
    """Read a file that is as usual.

    Args:
        content: of a `.skeleton` file, ASCII.

    Returns:
        Its bodies, or None where anything is not as usual, which need not be a fault.
    """
    letters = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero((letters <= _SPACE) & (letters != _RETURN))  # of words
    counts = _count_bodies(content, ends)
    frames = np.repeat(np.arange(len(counts)), counts)
    places = np.arange(len(frames)) - (np.cumsum(counts) - counts)[frames]
    headers = 2 + frames + _BODY * np.arange(len(frames))  # (B,) first word of each body
    if not len(counts) or not _has_usual_lines(letters, ends, counts, headers):
        return None
    words = (headers[:, None, None] + _XYZ).ravel()
    try:
        joints = _floats(letters, ends[words - 1] + 1, ends[words]).reshape(-1, *_XYZ.shape)
    except (ValueError, IndexError):  # no numbers, or words too short to be any
        return None
    return Bodies(len(counts), frames, places, joints) if is_finite(joints).all() else None


def _count_bodies(content: bytes, ends: np.ndarray) -> np.ndarray:
    """Step through the frames by their numbers of bodies: (F,), or none in doubt."""
    where = memoryview(ends)  # gives one number sooner than the array
    counts: list[int] = []
    word = 1
    try:
        for _ in range(min(int(content[: where[0]]), MAX_FRAMES + 1)):
            counts.append(int(content[where[word - 1] + 1 : where[word]]))
            word += 1 + _BODY * counts[-1]
        rest = content[where[word - 1] :].strip()
    except (ValueError, IndexError):
        return np.array([], int)
    usual = 1 <= len(counts) <= MAX_FRAMES and min(counts) >= 0 and not rest
    return np.array(counts if usual else [], int)


def _has_usual_lines(
    letters: np.ndarray, ends: np.ndarray, counts: np.ndarray, headers: np.ndarray
) -> bool:
    """Whether lines end where they should and nowhere else, and each body counts 25 joints."""
    frames = 1 + np.arange(len(counts)) + _BODY * (np.cumsum(counts) - counts)  # their words
    lines = ends[np.concatenate([[0], frames, (headers[:, None] + _LINE_ENDS).ravel()])]
    returns = np.count_nonzero(letters[lines - 1] == _RETURN)
    controls = np.count_nonzero(letters < _SPACE)
    numbers = ends[headers + _HEADER - 1] + 1
    return (
        (letters[lines] == _LINE_FEED).all()
        and controls == len(lines) + returns
        and (letters[numbers[:, None] + np.arange(2)] == list(b"25")).all()
        and (letters[numbers + 2] < _SPACE).all()
    )


def _floats(letters: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Read numbers, each as `float` does.

    Args:
        letters: the text; W bytes of it or more follow the last start.
        starts: (D,) where each number starts.
        ends: (D,) where it ends.

    Returns:
        (D,) float64.

    Raises:
        ValueError: when one is no number.
    """
    negative = letters[starts] == _MINUS
    firsts = starts + negative
    lengths = ends - firsts
    windows = np.ndarray(len(letters) - _WIDTH + 1, f"V{_WIDTH}", letters, strides=(1,))
    digits = windows[firsts].view(np.uint8).reshape(-1, _WIDTH) - np.uint8(_ZERO)  # (D, W)
    digits *= _WITHIN.take(lengths, axis=0, mode="clip")
    digits[:, 1] = 0  # the point
    values = np.einsum("dw,w->d", digits, _WEIGHTS) / _SCALE
    values = np.where(negative, -values, values)
    odd = (lengths < 2) | (lengths > _WIDTH) | (letters.take(firsts + 1) != _POINT)
    if digits.max(initial=0) > 9:
        odd |= (digits > 9).any(axis=1)
    for index in np.flatnonzero(odd):
        values[index] = to_float(letters[starts[index] : ends[index]].tobytes().decode("ascii"))
    return values


def to_float(word: str) -> float:
    """Return the number that a word is; the underscores that Python allows are no part of one."""
    return float(word.replace("_", "?"))


def is_finite(joints: np.ndarray) -> np.ndarray:
    """Whether float32 can hold each coordinate; false for NaN."""
    return np.abs(joints) <= np.finfo(np.float32).max
