"""What a run left on disk: its checkpoint, its metrics, and the results of its evaluations."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.checkpoint import RANDOM, file_sha256, find
from tools.evaluation.results import RESULTS, Json, read_json
from tools.training.log import METRICS, read_rows

LAST, CONFIG = "checkpoint_last.pth.tar", "config.json"


@dataclass(frozen=True)
class RunFolder:
    """One run on disk.

    Attributes:
        path: its folder.
        checkpoint: the newest one of it, or the one that was named.
        rows: of metrics.jsonl, in the order of the steps; empty where there is none.
        results: of its evaluations, each with the folder it lies in.
        untrained: of evaluations of a random encoder nearby, likewise.
        config: what the run was told, where it kept that.
    """

    path: Path
    checkpoint: Path
    rows: list[Json]
    results: list[tuple[Path, Json]]
    untrained: list[tuple[Path, Json]]
    config: Json = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "RunFolder":
        """Read a folder, or the folder of a checkpoint.

        Raises:
            FileNotFoundError: no such folder, or no checkpoint in it.
            ValueError: a file that is not what its name says.
        """
        checkpoint = _newest(path) if path.is_dir() else find(path, report=lambda line: None)
        folder = checkpoint.parent
        found = list(_results(folder))
        own = [(place, one) for place, one in found if _is_of(one, folder)]
        untrained = [(place, one) for place, one in found if _pretrained(one) == RANDOM]
        config = read_json(folder / CONFIG, "a run's config") if (folder / CONFIG).is_file() else {}
        return cls(folder, checkpoint, _rows(folder / METRICS), own, untrained, config)

    @property
    def name(self) -> str:
        """What the report calls the run."""
        return self.path.resolve().name


def _newest(folder: Path) -> Path:
    if (folder / LAST).is_file():
        return folder / LAST
    found = sorted(folder.glob("checkpoint_*.pth.tar"), key=_number)
    if not found:
        raise FileNotFoundError(f"{folder} has no checkpoint; name a folder of pretraining.py")
    return found[-1]


def _number(path: Path) -> int:
    digits = "".join(sign for sign in path.name if sign.isdigit())
    return int(digits or -1)


def _rows(path: Path) -> list[Json]:
    """The rows of metrics.jsonl; a last line that an interrupted run left half is left out."""
    if not path.is_file():
        return []
    lines, rows = path.read_bytes().count(b"\n"), read_rows(path)
    if len(rows) < lines:
        raise ValueError(f"{path} has broken rows, {lines - len(rows)} of {lines}")
    return rows


def _results(folder: Path) -> Iterator[tuple[Path, Json]]:
    """Results in the folder, below it and beside it, and those of random encoders."""
    beside = folder.resolve().parent
    patterns = (f"*/{RESULTS}", f"*/*/{RESULTS}")
    places = [(folder, f"**/{RESULTS}"), *((beside, each) for each in patterns)]
    places.append((Path("checkpoints", RANDOM), f"*/{RESULTS}"))  # where evaluations put theirs
    paths = {path.resolve() for place, pattern in places for path in place.glob(pattern)}
    for path in sorted(paths):
        yield path.parent, read_json(path)


def _pretrained(results: Json) -> Any:
    pretrained = results.get("pretrained")
    return pretrained.get("path") if isinstance(pretrained, dict) else None


def _is_of(results: Json, folder: Path) -> bool:
    """Whether a checkpoint of this folder was scored."""
    path = _pretrained(results)
    if not isinstance(path, str):
        return False
    if Path(path).resolve().parent == folder.resolve():
        return True
    moved = folder / Path(path).name  # or looked at from another folder than it was scored in
    return moved.is_file() and file_sha256(moved) == results["pretrained"].get("sha256")
