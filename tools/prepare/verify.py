"""Compare prepared arrays with what `prepared.json` says of them, byte for byte."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dataset.arrays import load_split
from dataset.prepared import describe, read_prepared
from dataset.protocols import load_datasets
from options.groups import DataOptions
from options.parser import changed
from tools.files import file_sha256


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to check."""

    data_path: Path = changed(DataOptions, "data_path")
    dataset: str = changed(
        DataOptions, "dataset", default="", help="only this data set", shown="all that are there"
    )


def verify(options: Options) -> None:
    """Check every folder of arrays and print a line for each.

    Raises:
        ValueError: one of them is not what was published, or there is none.
    """
    faults = []
    for folder in _folders(options):
        prepared = read_prepared(folder)
        fault = _fault(folder, prepared["sha256"]) if prepared else "not checked"
        print(f"{folder}: {fault or 'whole'}; {describe(prepared)}")
        if prepared and fault:
            faults.append(f"{folder}: {fault}")
    if faults:
        raise ValueError(f"{'; '.join(faults)}; prepare the data set again")


def _folders(options: Options) -> Iterator[Path]:
    """Yield the folders of the wanted data sets that hold arrays."""
    known = load_datasets(options.data_path, options.dataset)
    if options.dataset and options.dataset not in known:
        raise ValueError(f"--dataset {options.dataset}: known are {', '.join(known)}")
    wanted = [known[options.dataset]] if options.dataset else known.values()
    folders = [options.data_path / folder for one in wanted for folder in one.folders.values()]
    found = [folder for folder in folders if folder.is_dir()]
    if not found:
        raise FileNotFoundError(f"--data-path {options.data_path}: no prepared arrays there")
    yield from found


def _fault(folder: Path, sha256: Mapping[str, str]) -> str:
    """Say which files differ from what was published, or return ""."""
    changed = [
        name
        for name, digest in sha256.items()
        if not (folder / name).is_file() or file_sha256(folder / name) != digest
    ]
    if changed:
        return f"{', '.join(changed)} changed since it was prepared"
    load_split(folder, origin="any")
    return ""
