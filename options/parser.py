"""One declaration an option, one parser for every command.

A command is a frozen dataclass. Its fields are options, made by `option`, and groups of options,
made by `group`, which are frozen dataclasses in their turn. `Parser` builds the command line and
its --help from them, reads the words, and returns the record:

    @dataclass(frozen=True)
    class Command:
        epochs: int = option(451, read=whole(1), metavar="N", help="passes over the clips")
        contrast: ContrastConfig = group(ContrastConfig, "contrast")

Every option is accepted with `-` and with `_` between its words. A fault is one line on stderr,
`error: --OPTION VALUE: what would work`, and exit status 2. Nothing here imports torch or numpy,
so --help answers at once.
"""

import argparse
import math
import re
import shlex
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from moco.config import Setting, SettingError
from options.terminal import printable

Record = TypeVar("Record")
Reader = Callable[[str], Any]
"""Makes a value of one word; a ValueError says what would work."""

REQUIRED = MISSING
"""In place of a default: the option must be given; then its field has no default either."""


@dataclass(frozen=True)
class Option:
    """One option of a command.

    Attributes:
        flags: its names, the first long one for messages; none for words without a flag.
        read: makes the value of a word; None for a switch.
        metavar: what stands for the word in --help.
        help: what it does, and in which unit.
        default: its value when it is not given, or REQUIRED.
        shown: the default in words, where the value does not say it.
        least: fewest words of an option that takes several; None for exactly one.
        title: heading in --help of an option that is in no group.
        flagged: whether a flag comes before its words.
    """

    flags: tuple[str, ...]
    read: Reader | None
    metavar: str
    help: str
    default: Any
    shown: str | None = None
    least: int | None = None
    title: str = "options"
    flagged: bool = True

    @property
    def name(self) -> str:
        """What messages call it."""
        return next((flag for flag in self.flags if flag.startswith("--")), self.metavar)

    @property
    def described(self) -> str:
        """Its help with its default, as argparse takes it."""
        text = self.help
        if self.default is REQUIRED:
            text += " (must be given)"
        elif self.read is not None:
            text += f" (default: {_text(self.default) if self.shown is None else self.shown})"
        return text.replace("%", "%%")


def _text(value: Any) -> str:
    """A value as it is written on a command line."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def option(
    default: Any,
    *flags: str,
    help: str,
    read: Reader | None = None,
    metavar: str = "",
    shown: str | None = None,
    least: int | None = None,
    title: str = "options",
) -> Any:
    """A field that is an option; without flags it is called as the field is. See `Option`."""
    made = Option(flags, read, metavar, help, default, shown, least, title)
    return field(default=default, metadata={"option": made})


def words(default: Any, *, help: str, read: Reader, metavar: str, least: int = 0) -> Any:
    """A field for the words that stand without a flag, as a tuple."""
    made = Option((), read, metavar, help, default, least=least, flagged=False)
    return field(default=default, metadata={"option": made})


@dataclass(frozen=True)
class Group:
    """Options under one heading of --help, and the record they become.

    Attributes:
        title: the heading.
        options: by the name of the field, found when a parser is made.
        build: makes the record of their values.
    """

    title: str
    options: Callable[[], Mapping[str, Option]]
    build: Callable[[Mapping[str, Any]], Any]


def group(record: type, title: str, **changed: Mapping[str, Any]) -> Any:
    """A field that is a group of options.

    Args:
        record: a frozen dataclass of options, or a config of `moco.config`.
        title: heading in --help.
        changed: what is different here about some options, by the name of the field: arguments of
            `Option`.
    """

    def _options() -> dict[str, Option]:
        found = declared(record)
        return {name: replace(one, **changed.get(name, {})) for name, one in found.items()}

    usual = {name: change["default"] for name, change in changed.items() if "default" in change}
    made = Group(title, _options, lambda values: record(**values))
    return field(default_factory=partial(record, **usual), metadata={"group": made})


def changed(record: type, name: str, **changes: Any) -> Any:
    """The option that a base class declares, with another default or other words."""
    made = replace(declared(record)[name], **changes)
    return field(default=made.default, metadata={"option": made})


def declared(record: type) -> dict[str, Option]:
    """The options among the fields of a dataclass, with their flags."""
    found = {}
    for each in fields(record):
        if "option" in each.metadata:
            one = each.metadata["option"]
            named = one.flags or not one.flagged
            found[each.name] = one if named else replace(one, flags=(_flag(each.name),))
        elif "setting" in each.metadata:
            found[each.name] = of_setting(each.name, each.default, each.metadata["setting"])
    return found


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def of_setting(name: str, default: Any, given: Setting) -> Option:
    """The option that a field of a config of `moco.config` is."""
    flags = (given.flag or _flag(name),)
    if given.choices:
        return Option(flags, one_of(given.choices), "NAME", given.help, default)
    bounds = (given.above, given.at_least, given.below, given.at_most)
    if isinstance(default, int):
        at_least = 0 if given.at_least is None else given.at_least
        at_most = math.inf if given.at_most is None else given.at_most
        return Option(flags, whole(at_least, at_most), "N", given.help, default)
    return Option(flags, real(*bounds), "X", given.help, default)


class Parser(Generic[Record]):
    """The command line of one command."""

    def __init__(
        self,
        record: type[Record],
        description: str,
        program: str = "",
        epilog: str = "",
        usual: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
        recipe: Callable[[Mapping[str, Any]], Sequence[str]] | None = None,
    ) -> None:
        """Build it from the fields of a record.

        Args:
            record: the frozen dataclass that `parse` returns.
            description: what the command does, one line.
            program: how it is called; "" for the script's own name.
            epilog: what ends --help.
            usual: told the value of every option by its dotted name, returns those of other
                defaults, which hold for options that are not given.
            recipe: told the same, returns words that hold as if they were given before all others.
        """
        self._usual, self._recipe = usual, recipe
        self._record, self._options = record, dict[str, Option]()
        self._groups = {
            f.name: f.metadata["group"] for f in fields(record) if "group" in f.metadata
        }
        words = [one.metavar for one in declared(record).values() if not one.flagged]
        self._argparse = _ArgumentParser(
            prog=program or None,
            usage=" ".join(["%(prog)s [options]", *(f"[{word} ...]" for word in words)]),
            description=description,
            epilog=epilog or None,
            allow_abbrev=False,
            formatter_class=_Help,
            add_help=False,
        )
        heading = self._argparse.add_argument_group("help")
        heading.add_argument("-h", "--help", action="help", help="show this help and leave")
        self._add_all()

    def _add_all(self) -> None:
        single, headings = declared(self._record), {}
        for each in fields(self._record):
            if each.name in self._groups:
                found = self._groups[each.name]
                heading = self._argparse.add_argument_group(found.title)
                for name, one in found.options().items():
                    self._add(heading, f"{each.name}.{name}", one)
            elif each.name in single:
                title = single[each.name].title
                if title not in headings:
                    headings[title] = self._argparse.add_argument_group(title)
                self._add(headings[title], each.name, single[each.name])

    def _add(self, heading: argparse._ArgumentGroup, name: str, one: Option) -> None:
        self._options[name] = one
        if one.read is None:
            more = {"action": "store_true"}
        else:
            # Words are read by us, so that faults are in our words; argparse only sorts them.
            more = {"nargs": "?" if one.least is None else "*", "metavar": one.metavar}
        if one.flagged:
            more["dest"] = name
        names = one.flags or (name,)
        heading.add_argument(*names, default=argparse.SUPPRESS, help=one.described, **more)

    def parse(self, argv: Sequence[str] | None = None) -> Record:
        """Return the record of a command line, or of this process' own.

        Raises:
            SystemExit: status 2 after one line on stderr where an option does not fit.
        """
        try:
            return self.read(argv)
        except (ValueError, OSError) as error:
            print(printable(f"error: {' '.join(str(error).split())}"), file=sys.stderr)
            raise SystemExit(2) from None

    def read(self, argv: Sequence[str] | None = None) -> Record:
        """Return the record of a command line.

        Raises:
            ValueError, OSError: in one line, what does not fit.
        """
        given = list(sys.argv[1:] if argv is None else argv)
        known, unknown = self._argparse.parse_known_args(list(self._joined(given)))
        if unknown:
            raise ValueError(f"{unknown[0]}: no such option{self._likely(unknown[0])}; see --help")
        found = vars(known)
        if self._recipe is not None:
            before, _ = self._argparse.parse_known_args(list(self._recipe(self._values(found))))
            found = vars(before) | found
        values = self._values(found)
        if self._usual is not None:
            usual = self._usual(values).items()
            values |= {name: value for name, value in usual if name not in found}
        nested: dict[str, Any] = {name: {} for name in self._groups}
        for name, value in values.items():
            place, _, inner = name.rpartition(".")
            (nested[place] if place else nested)[inner] = value
        for name, one in self._groups.items():
            nested[name] = self._build(one.build, nested[name], f"{name}.")
        return self._build(lambda all_values: self._record(**all_values), nested, "")

    def _values(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """The value of every option, by its dotted name."""
        return {name: self._value(one, found, name) for name, one in self._options.items()}

    def _joined(self, given: Sequence[str]) -> Iterator[str]:
        """Hyphens for underscores in names; a text that may begin with a dash tied to its flag."""
        flags = {flag: one.read for one in self._options.values() for flag in one.flags}
        texts = {flag for flag, read in flags.items() if read is split_words}
        left = iter(given)
        for word in left:
            name, equals, value = word.partition("=")
            if name.startswith("--"):
                name = name.replace("_", "-")
                word = name + equals + value
            if equals and name in flags and flags[name] is None:
                raise ValueError(f"{name} {value}: takes no value; leave it out")
            following = next(left, None) if word in texts else None
            yield word if following is None else f"{word}={following}"

    def _value(self, one: Option, found: Mapping[str, Any], name: str) -> Any:
        """Read the words of one option."""
        given = found.get(name, [])
        if name not in found or (given == [] and not one.flagged):
            if one.default is REQUIRED:
                raise ValueError(f"{one.name}: is missing; {one.help}")
            return one.default
        if one.read is None:
            return given
        if given is None or (one.least and len(given) < one.least):
            number = "a value" if (one.least or 1) == 1 else f"{one.least} values or more"
            raise ValueError(f"{one.name}: needs {number}, {one.help}")
        if one.least is None:
            return _read_text(one, given)
        return tuple(_read_text(one, text) for text in given)

    def _build(self, build: Callable, values: Mapping[str, Any], prefix: str) -> Any:
        """Make a record; a fault in it is said of the option."""
        try:
            return build(values)
        except SettingError as error:
            one = self._options.get(prefix + error.name)
            given = "" if error.value is True else _text(error.value)
            named = f"{one.name if one else error.name} {given}".strip()
            raise ValueError(f"{named}: {error.fault}") from None

    def _likely(self, word: str) -> str:
        import difflib  # only needed once something is wrong

        known = [flag for one in self._options.values() for flag in one.flags if flag[:2] == "--"]
        close = difflib.get_close_matches(word.split("=")[0], known, n=1)
        return f", did you mean {close[0]}?" if close else ""


def _read_text(one: Option, text: str) -> Any:
    """Read one word of an option; a fault names both."""
    try:
        return one.read(text)
    except ValueError as error:
        raise ValueError(f"{f'{one.name} {text}'.strip()}: {error}") from None


class _ArgumentParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print with its usage."""
        raise ValueError(message.removeprefix("argument "))


class _Help(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=100)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Fill each paragraph but those that have lines of their own."""
        filled = super()._fill_text
        parts = text.split("\n\n")
        return "\n\n".join(part if "\n" in part else filled(part, width, indent) for part in parts)

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        """One word that must be given, or several, in argparse's own form."""
        shown = super()._format_args(action, default_metavar)
        return shown[1:-1] if action.nargs == "?" else shown


def as_plain(record: Any) -> Any:
    """A record as JSON takes it: dictionaries, lists, texts and numbers."""
    if is_dataclass(record):
        return {each.name: as_plain(getattr(record, each.name)) for each in fields(record)}
    if isinstance(record, Mapping):
        return {name: as_plain(value) for name, value in record.items()}
    if isinstance(record, tuple | list):
        return [as_plain(value) for value in record]
    return str(record) if isinstance(record, Path) else record


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Plain values by dotted names, as `training.lr`."""
    found = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def whole(at_least: float, at_most: float = math.inf) -> Reader:
    """Return a reader of whole numbers from `at_least` up, to `at_most` where it is given."""
    bounds = f"{at_least} or more" if at_most == math.inf else f"{at_least} to {at_most}"

    def _read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or not at_least <= number <= at_most:
            raise ValueError(f"needs a whole number, {bounds}")
        return number

    return _read


def real(
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> Reader:
    """Return a reader of finite numbers that are > above, >= at_least, < below and <= at_most."""
    bounds = Setting("", above=above, at_least=at_least, below=below, at_most=at_most)

    def _read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or bounds.fault(number):
            raise ValueError(f"needs a number {bounds.bounds}".rstrip())
        return number

    return _read


def one_of(names: Collection[str], other_words: Mapping[str, str] | None = None) -> Reader:
    """Return a reader of these names, in any case where that is not ambiguous.

    `other_words` are further words for some of them.
    """

    def _read(text: str) -> str:
        found = spelled(text, names, other_words or {})
        if found is None:
            raise ValueError(f"known are {', '.join(names)}")
        return found

    return _read


def spelled(text: str, names: Collection[str], other_words: Mapping[str, str]) -> str | None:
    """Find the name that a word stands for: itself, in another case, or by another word."""
    if text in names:
        return text
    close = [name for name in names if name.lower() == text.lower()]
    if len(close) == 1:
        return close[0]
    other = other_words.get(text.lower())
    return other if other in names else None


def device_name(text: str) -> str:
    """Read the name of a device; whether the machine has it is found out when it is used."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise ValueError("known are auto, cpu, cuda, cuda:N")
    return text


def file_path(text: str) -> Path:
    """Read a path that must not be empty."""
    if not text.strip():
        raise ValueError("is empty; give a path")
    return Path(text)


def any_text(text: str) -> str:
    """Read any text, as it is."""
    return text


def split_words(text: str) -> tuple[str, ...]:
    """Read several words of a shell in one text, which may begin with a dash."""
    return tuple(shlex.split(text))
