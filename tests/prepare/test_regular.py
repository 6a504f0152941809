"""Regular NTU files: read at once they give what line by line gives, and all doubt is declined."""

import numpy as np
import pytest

from tests.support.raw_ntu import awkward_frames, skeleton_text
from tools.prepare.formats.ntu import parse
from tools.prepare.pipeline.regular import read_regular, to_float

BODY = np.random.default_rng(0).normal(size=(25, 3)).round(4)
TEXT = skeleton_text([[BODY, BODY], [], [BODY]], end="\n")
LINES = TEXT.split("\n")


NO_NUMBERS = (
    *("x", "-", ".", "0x1", "1_0", "1_0.5", "0.1_2", "1.2.3", "0.-5"),
    *("nan", "inf", "-inf", "1e39"),
)


def with_words(words: list[str]) -> bytes:
    """The text with x y z of all joints drawn in turn from some words."""
    drawn = iter(words * 75)
    lines = [
        " ".join([next(drawn), next(drawn), next(drawn), *line.split(" ")[3:]])
        if len(line.split(" ")) == 12
        else line
        for line in LINES
    ]
    return "\n".join(lines).encode()


def bits(numbers: np.ndarray) -> list[int]:
    return numbers.ravel().view(np.int64).tolist()


@pytest.mark.parametrize("decimals", range(16))
def test_every_decimal_is_read_to_the_last_bit(decimals):
    numbers = np.random.default_rng(decimals).normal(0, 3, size=225)
    words = [f"{number:.{decimals}f}" for number in numbers]
    found = read_regular(with_words(words))
    assert bits(found.joints) == bits(np.array([float(word) for word in words]))


@pytest.mark.parametrize(
    "word",
    ["-0.0", "0", "-0", "7", "5.", ".5", "-.5", "+1.5", "12.25", "-123.4567", "1e-05", "-2.5E+3",
     "0.00012345678", "0.1234567890123456789", "3.4028234e38", "1.5e-310", "9.9999999999"],
)  # fmt: skip
def test_any_notation_is_read_to_the_last_bit(word):
    found = read_regular(with_words([word, "0.5", "-1.25"]))
    expected = np.tile([float(word), 0.5, -1.25], 75)
    assert bits(found.joints) == bits(expected)


@pytest.mark.parametrize("seed", range(24))
def test_line_by_line_gives_the_same(seed):
    text = skeleton_text(awkward_frames(seed), end=("\r\n", "\n")[seed % 2])
    odd = text.replace(" ", "\t") + "\n"
    short = len(text) < 12  # than a decimal may be: no body in it
    assert (read_regular(text.encode()) is None) == short
    assert read_regular(odd.encode()) is None
    assert bits(parse(odd.encode())) == bits(parse(text.encode()))


def changed(line: int, text: str) -> str:
    return "\n".join([*LINES[: line - 1], text, *LINES[line:]])


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT[:-1],
        TEXT[:-2],
        f"{TEXT}\n",
        f"{TEXT}x",
        TEXT.replace("\n", "\r"),
        TEXT.replace("\n", "\r", 1),
        TEXT.replace(" ", "\v", 30),
        TEXT.replace(" ", "\n", 1),
        changed(1, "0"),
        changed(1, "2"),
        changed(1, "4"),
        changed(1, "301"),
        changed(1, "3 "),
        "1000000000000\n0\n-1\n" + "0 " * 400,
        changed(2, "-2"),
        changed(2, "two"),
        changed(2, "1"),
        changed(3, "0 1"),
        changed(4, "24"),
        changed(4, "250"),
        changed(5, LINES[4] + " 0"),
        changed(5, LINES[4].replace(" ", "  ", 1)),
        changed(5, " " + LINES[4]),
        changed(5, " ".join(LINES[4].split()[:3])),
        changed(5, LINES[4] + "\x1c"),
        changed(84, "0.1 0.2" + 10 * " "),
        TEXT.replace(f" 2\n{LINES[5]}", f"\n2 {LINES[5]}"),
        *(changed(5, f"{word} 0.2 0.3 1 2 3 4 5 6 7 8 9") for word in NO_NUMBERS),
        changed(5, "- .5 0.3 1 2 3 4 5 6 7 8 9"),
    ],
)
def test_doubt_is_left_to_the_reader_of_lines(text):
    assert read_regular(text.encode()) is None


def test_what_looks_like_a_number_to_python_alone_is_none():
    with pytest.raises(ValueError, match="could not convert"):
        to_float("1_0.5")


def test_a_fifth_body_and_frames_without_any_are_told_apart():
    found = read_regular(skeleton_text([[], 5 * [BODY], []]).encode())
    assert (found.num_frames, found.frames.tolist()) == (3, 5 * [1])
    assert found.places.tolist() == [0, 1, 2, 3, 4]
    nobody = read_regular(skeleton_text(9 * [[]]).encode())
    assert (nobody.num_frames, nobody.joints.shape) == (9, (0, 25, 3))
