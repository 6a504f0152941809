"""A study of `python -m tools.reproduce --study FILE`: settings of pre-training, each against one.

The file is JSON; docs/reproduce.md shows one. Everything in it is checked when it is read, by the
parsers of the scripts themselves, so a fault is said before anything is run.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataset.protocols import OTHER_WORDS, DataSet
from moco.config import ENCODERS, EncoderConfig
from options.evaluations import EVALUATIONS, KINDS, PRETRAINING
from options.groups import MAX_SEED, RANDOM
from options.parser import Parser, declared, spelled, split_words
from options.pretraining import PretrainingOptions

Split = tuple[str, str]
"""A data set and one of its protocols, by name."""
Words = tuple[str, ...]
SET_HERE = frozenset(
    ("--pre-dataset", "--finetune-dataset", "--protocol", "--skeleton-representation")
    + ("--finetune-skeleton-representation", "--encoder", "--seed", "--pretrained", "--resume")
    + ("--checkpoint-path", "--data-path", "--device", "--mode", "--label-fraction", "--runs")
    + ("--start-epoch", "--output-path", "--output")
)
"""Options of the scripts that say which cell is run."""
_STREAM = "--skeleton-representation"
_SIMPLE = tuple(mode for mode, kind in EVALUATIONS.items() if not kind.over)
"""Evaluations of one pre-training, on what it was trained on."""
_MODES = (PRETRAINING, *_SIMPLE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_KEYS = ("data", "encoder", "seeds", "common", "settings", "baseline", "evaluations", "equal_time")
_MAY_LACK = ("common", "equal_time")
_EQUAL_TIME = "-time"
"""What the name of a setting ends with where it is trained for the baseline's time."""


@dataclass(frozen=True)
class Study:
    """What a study file says, every name spelled as it is known.

    Attributes:
        path: the file.
        data: for each split the options of the scripts that it needs.
        encoder: kind of the sequence encoder.
        seeds: of pre-trainings and evaluations; differences are taken between equal seeds.
        common: options of the scripts everywhere, before all others.
        settings: options of pretraining.py by the name of the setting, after the others.
        only_here: options of pretraining.py for one setting on one split, after all others.
        baseline: the setting that the others are compared with.
        evaluations: keys of EVALUATIONS.
        equal_time: settings that are also trained for the baseline's processor time.
        trained: what pretraining.py makes of each setting on each split.
    """

    path: Path
    data: Mapping[Split, Mapping[str, Words]]
    encoder: str
    seeds: tuple[int, ...]
    common: Mapping[str, Words]
    settings: Mapping[str, Words]
    only_here: Mapping[tuple[Split, str], Words]
    baseline: str
    evaluations: tuple[str, ...]
    equal_time: tuple[str, ...] = ()
    trained: dict[tuple[Split, str], PretrainingOptions] = field(default_factory=dict)

    def words(self, split: Split, setting: str, mode: str) -> list[str]:
        """Options of a script for a setting; later ones override earlier ones."""
        return [word for _, words in self.parts(split, setting, mode) for word in words]

    def parts(self, split: Split, setting: str, mode: str) -> list[tuple[str, Words]]:
        """Where such options come from: the key in the file, and the words there."""
        found = [
            (f"common.{mode}", self.common.get(mode, ())),
            (f"data.{' '.join(split)}.{mode}", self.data[split].get(mode, ())),
        ]
        if mode == PRETRAINING:
            found.append((f"settings.{setting}", self.settings[setting]))
            more = self.only_here.get((split, setting), ())
            found.append((f"data.{' '.join(split)}.settings.{setting}", more))
        return found

    def encoder_words(self, split: Split, setting: str) -> list[str]:
        """The options by which an evaluation makes the same encoder of random weights."""
        config = self.trained[split, setting].encoder
        sizes = declared(type(config)).items()
        found = {"--encoder": config.kind}
        found |= {one.name: getattr(config, name) for name, one in sizes}
        return [str(word) for pair in found.items() for word in pair]

    def seen(self, split: Split, setting: str) -> tuple[str, EncoderConfig]:
        """The stream and the encoder of a setting."""
        options = self.trained[split, setting]
        return options.data.stream, options.encoder


def timed(setting: str) -> str:
    """The name of a setting that is trained for the baseline's processor time."""
    return setting + _EQUAL_TIME


def longer(options: PretrainingOptions, factor: float) -> list[str]:
    """Options that train `factor` times as many epochs, rounded down, with the schedule scaled."""
    epochs = max(1, int(options.training.epochs * factor))
    scaled = (epoch * epochs // options.training.epochs for epoch in options.training.schedule)
    schedule = sorted({max(1, epoch) for epoch in scaled})
    return ["--epochs", str(epochs), "--schedule", *map(str, schedule)]


def read_study(path: Path, known: Mapping[str, DataSet], data_path: Path) -> Study:
    """Read a study and check everything that can be checked without the data.

    Raises:
        ValueError: names the file, the key and what would work.
        OSError: the file cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not the JSON of a study ({error}); mend it") from None
    try:
        study = _build(path, content, known)
        for split in study.data:
            _check(study, split, data_path)
    except _StudyError as fault:
        raise ValueError(f"{path}: {fault}") from None
    return study


class _StudyError(Exception):
    """What is wrong with a study, its key first."""


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice} stands twice in one object")
    return found


def _build(path: Path, content: Any, known: Mapping[str, DataSet]) -> Study:
    given = _object("the file", content, _KEYS, [key for key in _KEYS if key not in _MAY_LACK])
    settings = {
        _setting(name): _words(f"settings.{name}", text, allowed=(_STREAM,))
        for name, text in _object("settings", given["settings"]).items()
    }
    equal_time = _names("equal_time", given.get("equal_time", []), list(settings), at_least=0)
    baseline = _known("baseline", given["baseline"], list(settings))
    for name in equal_time:
        if name == baseline:
            raise _StudyError(f"equal_time {name}: it is the baseline, whose time the others take")
        if timed(name) in settings:
            fault = f"settings has {timed(name)} too; rename that"
            raise _StudyError(f"equal_time {name}: {fault}")
    data, only_here = _data(given["data"], known, list(settings))
    return Study(
        path=path,
        data=data,
        only_here=only_here,
        encoder=_known("encoder", given["encoder"], list(ENCODERS)),
        seeds=_seeds(given["seeds"]),
        common=_by_mode("common", given.get("common", {})),
        settings=settings,
        baseline=baseline,
        evaluations=_names("evaluations", given["evaluations"], _SIMPLE),
        equal_time=equal_time,
    )


def _object(
    key: str, value: Any, keys: Sequence[str] = (), needed: Sequence[str] = ()
) -> dict[str, Any]:
    """A JSON object that has no other keys than these, if there are any, and all the needed."""
    if not isinstance(value, dict) or not value and not keys:
        raise _StudyError(f"{key}: needs an object of names and values")
    unknown = [name for name in value if keys and name not in keys]
    if unknown:
        raise _StudyError(f"{key} has {unknown[0]}: known are {', '.join(keys)}")
    missing = [name for name in needed if name not in value]
    if missing:
        raise _StudyError(f"{key} lacks {missing[0]}")
    return value


def _list(key: str, value: Any, at_least: int = 1) -> list:
    if not isinstance(value, list) or len(value) < at_least:
        raise _StudyError(f"{key}: needs a list" + (" that is not empty" if at_least else ""))
    return value


def _known(key: str, value: Any, names: Sequence[str]) -> str:
    found = spelled(value, names, OTHER_WORDS) if isinstance(value, str) else None
    if found is None:
        raise _StudyError(f"{key} {value}: known are {', '.join(names)}")
    return found


def _names(key: str, value: Any, names: Sequence[str], at_least: int = 1) -> tuple[str, ...]:
    found = [_known(key, name, names) for name in _list(key, value, at_least)]
    return tuple(dict.fromkeys(found))


def _seeds(value: Any) -> tuple[int, ...]:
    for seed in _list("seeds", value):
        if type(seed) is not int or not 0 <= seed <= MAX_SEED:
            raise _StudyError(f"seeds {seed}: needs whole numbers from 0 on")
    return tuple(dict.fromkeys(value))


def _setting(name: str) -> str:
    if not _NAME.fullmatch(name) or name.startswith(RANDOM):
        fault = f"needs letters, digits and . _ + - only, and must not begin with {RANDOM}"
        raise _StudyError(f"settings.{name}: {fault}")
    return name


def _data(
    value: Any, known: Mapping[str, DataSet], settings: Sequence[str]
) -> tuple[dict[Split, dict[str, Words]], dict[tuple[Split, str], Words]]:
    """Options of each split, and of single settings there."""
    found: dict[Split, dict[str, Words]] = {}
    only_here: dict[tuple[Split, str], Words] = {}
    for number, one in enumerate(_list("data", value)):
        key, needed = f"data[{number}]", ("dataset", "protocol")
        given = _object(key, one, (*needed, *_MODES, "settings"), needed)
        dataset = _known(f"{key}.dataset", given["dataset"], list(known))
        protocol = _known(f"{key}.protocol", given["protocol"], list(known[dataset].folders))
        if (dataset, protocol) in found:
            raise _StudyError(f"{key}: {dataset} {protocol} stands there twice")
        texts = {mode: given[mode] for mode in _MODES if mode in given}
        split = dataset, protocol
        found[split] = _by_mode(key, texts)
        for name, text in _object(f"{key}.settings", given.get("settings", {}), settings).items():
            only_here[split, name] = _words(f"{key}.settings.{name}", text, allowed=(_STREAM,))
    return found, only_here


def _by_mode(key: str, value: Any) -> dict[str, Words]:
    found = {}
    for mode, text in _object(key, value, _MODES).items():
        allowed = (_STREAM,) if mode == PRETRAINING else ()
        found[mode] = _words(f"{key}.{mode}", text, allowed)
    return found


def _words(key: str, text: Any, allowed: Sequence[str]) -> Words:
    if not isinstance(text, str):
        raise _StudyError(f'{key}: needs options in one text, as "--lr 0.1 --epochs 60"')
    try:
        words = split_words(text)
    except ValueError as error:
        raise _StudyError(f"{key}: {error}") from None
    wrong = [flag for flag in set_here(words) if flag not in allowed]
    if wrong:
        raise _StudyError(f"{key}: {wrong[0]} is not a setting; other keys of the study say it")
    return words


def set_here(words: Sequence[str]) -> list[str]:
    """The options among some words that say which cell is run."""
    flags = (word.partition("=")[0].replace("_", "-") for word in words)
    return [flag for flag in flags if flag in SET_HERE]


def _check(study: Study, split: Split, data_path: Path) -> None:
    """Let the scripts' parsers read every setting and every evaluation of a split."""
    where = ["--protocol", split[1], "--data-path", str(data_path), "--encoder", study.encoder]
    for setting in study.settings:
        there = ["--pre-dataset", split[0], *where]
        study.trained[split, setting] = _read(study, split, setting, PRETRAINING, there)
    for mode in study.evaluations:
        there = ["--finetune-dataset", split[0], *where, "--pretrained", RANDOM]
        _read(study, split, "", mode, [*KINDS[mode].arguments, *there])


def _read(study: Study, split: Split, setting: str, mode: str, more: Sequence[str]) -> Any:
    """The record of a script; a fault is said of the first key that makes it."""
    parts, parser = study.parts(split, setting, mode), KINDS[mode].parser()
    try:
        return parser.read([*study.words(split, setting, mode), *more])
    except (ValueError, OSError) as error:
        said = str(error)
    words: list[str] = []
    for key, part in parts:
        words += part
        if _fault(parser, [*words, *more]) == said:
            raise _StudyError(f"{key}: {said}")
    raise _StudyError(f"{parts[-1][0]}: {said}")


def _fault(parser: Parser, words: Sequence[str]) -> str:
    try:
        parser.read(words)
    except (ValueError, OSError) as error:
        return str(error)
    return ""
