"""The parser itself, on a small command: every kind of option, every kind of fault."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from moco.config import SettingError, setting
from options.parser import (
    REQUIRED,
    Parser,
    any_text,
    as_plain,
    changed,
    declared,
    device_name,
    file_path,
    group,
    of_setting,
    one_of,
    option,
    real,
    split_words,
    whole,
    words,
)


@dataclass(frozen=True)
class Rates:
    learning_rate: float = option(
        0.5, "--lr", "--learning-rate", read=real(above=0, at_most=1), metavar="X", help="rate"
    )
    steps: tuple[int, ...] = option((3, 9), read=whole(1), least=1, metavar="N", help="90 % of it")
    decay: float = setting(0.1, "decay of weights", at_least=0)

    def __post_init__(self) -> None:
        if self.learning_rate < self.decay:
            raise SettingError("learning_rate", self.learning_rate, "is below the decay")


@dataclass(frozen=True)
class Command:
    source: Path = option(REQUIRED, "-s", "--source", read=file_path, metavar="DIR", help="input")
    files: tuple[str, ...] = words((), help="what to read", read=any_text, metavar="FILE")
    kind: str = option("One", read=one_of(("One", "Two")), metavar="K", help="kind", title="first")
    quiet: bool = option(False, "-q", "--quiet", help="no output, 100 %")
    more: tuple[str, ...] = option(
        (), "--more-words", read=split_words, metavar="TEXT", help="passed on"
    )
    rates: Rates = group(Rates, "rates", learning_rate={"default": 0.25, "help": "slower"})

    def __post_init__(self) -> None:
        if self.quiet and self.kind == "Two":
            raise SettingError("quiet", True, "two are loud")
        if len(self.rates.steps) > 3:
            raise SettingError("rates.steps", self.rates.steps, "are too many")


PARSER = Parser(Command, "Do it.", program="python -m tools.it", epilog="That is all.")
USUAL = Command(Path("in"))


def read(text, usual="-s in"):
    return PARSER.read([*usual.split(), *text.split()])


def fault(text, usual="-s in"):
    with pytest.raises(ValueError) as raised:  # noqa: PT011, the text is what is tested
        read(text, usual)
    return str(raised.value)


def test_a_record_made_by_hand_is_what_the_parser_makes():
    assert read("") == USUAL
    assert USUAL.rates == Rates(0.25)
    assert Rates().learning_rate == 0.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", replace(USUAL, files=("a", "b"))),
        ("-q", replace(USUAL, quiet=True)),
        ("--kind two", replace(USUAL, kind="Two")),
        ("--lr 1", replace(USUAL, rates=Rates(1.0))),
        ("--learning_rate=0.75", replace(USUAL, rates=Rates(0.75))),
        ("--lr 0.3 --lr 0.4", replace(USUAL, rates=Rates(0.4))),
        ("--steps 1 2", replace(USUAL, rates=Rates(0.25, (1, 2)))),
        ("--decay 0", replace(USUAL, rates=Rates(0.25, decay=0.0))),
        ("a --steps 1 -q", replace(USUAL, files=("a",), quiet=True, rates=Rates(0.25, (1,)))),
        ("--source=a_b", Command(Path("a_b"))),
    ],
)
def test_every_kind_of_option_is_read(text, expected):
    assert read(text) == expected


@pytest.mark.parametrize("flag", ["--more-words", "--more_words"])
def test_a_text_of_words_may_begin_with_a_dash(flag):
    text = "--lr 0.1 'a b' --my_name"
    for given in ([flag, text], [f"{flag}={text}"]):
        found = PARSER.read(["-s", "in", *given, "-q"])
        assert found.more == ("--lr", "0.1", "a b", "--my_name")
        assert (found.quiet, found.rates) == (True, USUAL.rates)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("--kind three", "--kind three: known are One, Two"),
        ("--learning-rate 2", "--lr 2: needs a number above 0 and at most 1"),
        ("--lr nan", "--lr nan: needs a number above 0 and at most 1"),
        ("--lr", "--lr: needs a value, slower"),
        ("--steps", "--steps: needs a value, 90 % of it"),
        ("--steps 1 0", "--steps 0: needs a whole number, 1 or more"),
        ("--decay -1", "--decay -1: needs a number 0 or more"),
        ("--sauce x", "--sauce: no such option, did you mean --source?; see --help"),
        ("--steqs=3", "--steqs=3: no such option, did you mean --steps?; see --help"),
        ("--step 3", "--step: no such option, did you mean --steps?; see --help"),
        ("-z", "-z: no such option; see --help"),
        ("--quiet=yes", "--quiet yes: takes no value; leave it out"),
        ("-s", "--source: needs a value, input"),
        ("-s in --lr 0.05", "--lr 0.05: is below the decay"),
        ("--steps 1 2 3 4", "--steps 1 2 3 4: are too many"),
        ("-q --kind Two", "--quiet: two are loud"),
    ],
)
def test_a_fault_names_the_option_and_what_would_work(text, said):
    assert fault(text) == said


def test_a_required_option_that_is_missing_is_named():
    assert fault("", usual="") == "--source: is missing; input"


@dataclass(frozen=True)
class Listed:
    encoders: tuple[str, ...] = words(REQUIRED, help="what", read=any_text, metavar="NAME", least=2)


@dataclass(frozen=True)
class Shorter(Listed):
    encoders: tuple[str, ...] = changed(Listed, "encoders", least=1, help="one or more")


def test_required_words_are_asked_for_and_can_be_changed():
    parser = Parser(Listed, "List.")
    assert parser.read(["a", "b"]) == Listed(("a", "b"))
    with pytest.raises(ValueError, match="^NAME: is missing; what$"):
        parser.read([])
    with pytest.raises(ValueError, match="^NAME: needs 2 values or more, what$"):
        parser.read(["a"])
    assert Parser(Shorter, "List.").read(["a"]) == Shorter(("a",))


def test_parse_leaves_with_one_line_and_status_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        PARSER.parse([])
    assert stopped.value.code == 2
    assert capsys.readouterr() == ("", "error: --source: is missing; input\n")
    with pytest.raises(SystemExit):
        PARSER.parse(["-s", "in", "--lr", "1\n2"])
    assert capsys.readouterr().err == "error: --lr 1 2: needs a number above 0 and at most 1\n"


def test_parse_reads_the_command_line_of_the_process(monkeypatch):
    monkeypatch.setattr("sys.argv", ["it", "-s", "in", "--kind", "two"])
    assert PARSER.parse().kind == "Two"


def test_help_has_headings_defaults_and_what_must_be_given(capsys):
    with pytest.raises(SystemExit) as stopped:
        PARSER.read(["--help"])
    shown = capsys.readouterr().out
    assert stopped.value.code == 0
    assert shown.startswith("usage: python -m tools.it [options] [FILE ...]\n")
    assert shown.endswith("That is all.\n")
    headings = [line for line in shown.splitlines() if line.endswith(":")]
    assert headings == ["help:", "options:", "first:", "rates:"]
    for text in (
        "input (must be given)",
        "slower (default: 0.25)",
        "90 % of it (default: 3 9)",
        "kind (default: One)",
        "no output, 100 %\n",
        "decay of weights (default: 0.1)",
        "--source DIR",
        "--steps [N ...]",
    ):
        assert text in shown


@dataclass(frozen=True)
class Sub(Rates):
    steps: tuple[int, ...] = changed(Rates, "steps", default=(1,), shown="one")


def test_a_changed_option_keeps_its_flags_and_its_reader():
    one, base = declared(Sub)["steps"], declared(Rates)["steps"]
    assert one == replace(base, default=(1,), shown="one")
    assert (Sub().steps, Rates().steps) == ((1,), (3, 9))


def test_a_record_becomes_plain_values():
    assert as_plain(Command(Path("a/b"), files=("x",))) == {
        "source": "a/b",
        "files": ["x"],
        "kind": "One",
        "quiet": False,
        "more": [],
        "rates": {"learning_rate": 0.25, "steps": [3, 9], "decay": 0.1},
    }
    assert as_plain({"a": (Path("b"), None, {"c": [1.5]})}) == {"a": ["b", None, {"c": [1.5]}]}


@pytest.mark.parametrize(
    ("read", "good", "bad", "said"),
    [
        (whole(1), {"1": 1, "7": 7}, ["0", "1.5", "x", ""], "needs a whole number, 1 or more"),
        (whole(1, 6), {"6": 6}, ["7"], "needs a whole number, 1 to 6"),
        (real(), {"-1": -1.0, "1e3": 1000.0}, ["inf", "nan", "x"], "needs a number"),
        (real(at_least=0, below=1), {"0": 0.0}, ["1"], "needs a number 0 or more and below 1"),
        (device_name, {"cuda:3": "cuda:3"}, ["gpu", "cuda:"], "known are auto, cpu, cuda, cuda:N"),
        (file_path, {"a b": Path("a b")}, ["", "  "], "is empty; give a path"),
        (one_of(("a", "A", "b")), {"a": "a", "A": "A", "B": "b"}, ["c"], "known are a, A, b"),
        (one_of(("Aa", "aA")), {"Aa": "Aa", "aA": "aA"}, ["AA", "aa"], "known are Aa, aA"),
        (one_of(("one",), {"x": "one", "y": "two"}), {"X": "one"}, ["y", "two"], "known are one"),
        (one_of(("one", "X"), {"x": "one"}), {"x": "X", "ONE": "one"}, ["y"], "known are one, X"),
    ],
)
def test_readers_take_what_fits_and_say_what_would(read, good, bad, said):
    for text, value in good.items():
        assert read(text) == value
    for text in bad:
        with pytest.raises(ValueError, match=f"^{said}$"):
            read(text)


def test_a_setting_of_a_config_is_an_option_with_its_bounds():
    def made(default, **bounds):
        return of_setting("a_b", default, setting(default, "help", **bounds).metadata["setting"])

    assert made(1).flags == ("--a-b",)
    assert made(1, flag="--other").flags == ("--other",)
    assert made("x", choices=("x", "y")).read("Y") == "y"
    assert made(1.0, at_least=0).read("0") == 0.0
    assert made(3, at_least=1, at_most=6).read("6") == 6
    assert made(3).read("0") == 0
    with pytest.raises(ValueError, match="whole number, 1 to 6"):
        made(3, at_least=1, at_most=6).read("7")
