"""Checkpoints: written whole or not at all, in the published layout, read with suspicion.

A checkpoint is `{'epoch': finished epochs, 'state_dict': …, 'optimizer': …}` under the published
names, so the published scripts read ours. Ours add entries that the published scripts ignore:
`method`, `config` and `contrast`, which the model is built from; `data`, `progress` and `random`,
which an exact resume needs; `versions`. What the published layout cannot hold lies under our own
names, and `layout` says so.
"""

import hashlib
import platform
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import nn

from dataset.reading import brief, reading, shown
from moco.config import (
    ContrastConfig,
    EncoderConfig,
    SettingError,
    encoder_config,
    method_class,
    read_encoder_config,
)
from moco.hico import HiCo
from moco.method import Method
from moco.published import check_fit, from_published, holds, optimizer_parameters, to_published
from options.groups import RANDOM
from tools.files import file_sha256, write_whole
from tools.zips import check

Payload = dict[str, Any]
WHOLE = "a readable checkpoint"
_ENTRIES = {"epoch": int, "optimizer": dict, "method": str, "layout": str} | dict.fromkeys(
    ("config", "contrast", "data", "progress", "random", "versions"), dict
)
"""Types of the entries that a checkpoint may have beside its state_dict."""
_PLAIN = ("config", "contrast", "data", "progress")
PUBLISHED, OWN = "published", "own"
"""Layouts of a checkpoint; one that does not say its own has the published one."""


def save_whole(payload: Payload, path: Path | str) -> None:
    """Write a file that appears under its name only when all of it is on disk.

    Args:
        payload: plain values and tensors.
        path: its folder is made if need be.

    Raises:
        FloatingPointError: a number that is not finite; what was there before is intact.
    """
    _refuse_broken(payload, Path(path))
    write_whole(Path(path), lambda file: torch.save(payload, file))


def _refuse_broken(payload: Payload, path: Path) -> None:
    """Find weights, momentum and whatever else is not finite, in one pass over the device."""
    found = {name: x for name, x in _tensors(payload) if x.is_floating_point() and x.numel()}
    if torch.isfinite(nn.utils.get_total_norm(found.values(), float("inf"), foreach=None)):
        return
    name = next(name for name, x in found.items() if not torch.isfinite(x).all())
    raise FloatingPointError(
        f"{name} is not finite, so {path} is not written; the checkpoints before it are intact: "
        "try a smaller --lr"
    )


def _tensors(value: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors in nested dictionaries, by dotted names."""
    if torch.is_tensor(value):
        yield name, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _tensors(each, f"{name}.{key}".lstrip("."))


def find(path: Path | str, report: Callable[[str], None] = print) -> Path:
    """Find a checkpoint, under either published spelling of its number.

    Args:
        path: `checkpoint_450.pth.tar` also finds `checkpoint_0450.pth.tar`, and the reverse.
        report: is told when the other spelling was taken.

    Returns:
        A file that exists.

    Raises:
        FileNotFoundError: neither spelling exists.
    """
    path = Path(path)
    if path.is_file():
        return path
    match = re.fullmatch(r"checkpoint_(\d+)\.pth\.tar", path.name)
    if match:
        number = int(match.group(1))
        for name in (f"checkpoint_{number:04d}.pth.tar", f"checkpoint_{number}.pth.tar"):
            other = path.with_name(name)
            if other.is_file():
                report(f"{path} is not there; reading {other}")
                return other
    here = sorted(p.name for p in path.parent.glob("*.pth.tar"))
    has = f"{path.parent} has {', '.join(here[-5:])}" if here else f"{path.parent} has none"
    raise FileNotFoundError(f"no checkpoint at {path}; {has}; run pretraining.py first")


def read(path: Path) -> Payload:
    """Read a pre-training checkpoint, running no code that it may carry.

    Returns:
        The payload, tensors on the CPU; `state_dict` is there.

    Raises:
        ValueError: truncated, not a checkpoint, or without a `state_dict`.
    """
    with reading(path, WHOLE, "copy it again or choose another"):
        zipped = zipfile.is_zipfile(path)  # before PyTorch 1.6 it was none
    if zipped:
        check(path, WHOLE)  # torch.load does not look at checksums
    with reading(path, WHOLE, "copy it again or choose another"), path.open("rb") as file:
        payload = torch.load(file, map_location="cpu", weights_only=True)
    state = payload.get("state_dict") if isinstance(payload, dict) else None
    if not isinstance(state, dict) or not all(torch.is_tensor(x) for x in state.values()):
        raise ValueError(f"{path} holds no state_dict of tensors; it is not a HiCo checkpoint")
    fault = next(_faults(payload), "")
    if fault:
        raise ValueError(f"{path} {fault}; it is not a HiCo checkpoint")
    return payload


def _faults(payload: Payload) -> Iterator[str]:
    """Yield what no checkpoint holds: entries of an odd type, tensors larger than their bytes."""
    for name, kind in _ENTRIES.items():
        if not isinstance(payload.get(name, kind()), kind):
            yield f"holds {name} as {shown(payload[name])}"
    if not all(type(name) is str for name in payload["state_dict"]):
        yield "holds a tensor whose name is no text"
    for name in _PLAIN:
        if not _is_plain(payload.get(name)):
            yield f"holds more than plain values in {name}"
    for tensor in _all_tensors(payload):
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            yield "holds a tensor that is not dense"
        elif tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            yield "holds a tensor that is larger than its bytes"


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(type(name) is str and _is_plain(one) for name, one in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or type(value) in (str, int, float, bool)


def _all_tensors(value: object) -> Iterator[torch.Tensor]:
    """All tensors in nested entries."""
    if torch.is_tensor(value):
        yield value
    elif isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _all_tensors(one)


def to_method(payload: Payload, path: Path) -> Method:
    """Build the model of a checkpoint: ours as it says itself, a published one by its shapes.

    Returns:
        A method on the CPU. The published layout does not say attention heads, momentum and
        temperature; without our extra entries they take the published values.

    Raises:
        ValueError: an unknown method or kind of encoder, or keys or shapes that do not fit it.
    """
    state = payload["state_dict"]
    try:
        method = _ours(payload) if "config" in payload else from_published(state)
    except SettingError as error:
        raise ValueError(f"{path} holds {error}; choose another checkpoint") from None
    except Exception as error:  # sizes and names of others may trigger nearly anything
        raise ValueError(
            f"{path} does not fit: {brief(error)}; it is not a HiCo checkpoint"
        ) from None
    broken = [name for name, x in state.items() if not torch.isfinite(x).all()]
    if broken:
        raise ValueError(f"{path}: {broken[0]} is not finite; choose an earlier checkpoint")
    return method


def _ours(payload: Payload) -> Method:
    """Build the model that our own entries describe; its weights are the file's."""
    state, made = payload["state_dict"], method_class(payload.get("method", HiCo.name))
    sizes = {**payload["config"], **payload.get("contrast", {})}
    for name, size in sizes.items():
        largest = len(state) if name == "num_layers" else max(map(torch.numel, state.values()))
        if type(size) is int and size > largest:  # refused before memory is taken for it
            raise SettingError(name, size, "larger than any of its tensors")
    if payload.get("layout", PUBLISHED) == PUBLISHED:
        config = read_encoder_config(payload["config"])
        return from_published(state, config, **payload.get("contrast", {}))
    with torch.random.fork_rng(devices=[]):  # what is drawn is overwritten
        method = made.from_settings(payload)
    check_fit(state, method.state_dict())
    method.load_state_dict(state)
    return method


def load_encoder(
    pretrained: str,
    *,
    random_config: EncoderConfig | None = None,
    seed: int | None = None,
    report: Callable[[str], None] = print,
) -> tuple[Method, Payload]:
    """Load what probe and retrieval score.

    Args:
        pretrained: a checkpoint, whose encoder kind and sizes count; or "random".
        random_config: kind and sizes of a random encoder.
        seed: of a random encoder.
        report: is told what was loaded.

    Returns:
        The method in eval mode on the CPU, and what is known of where it comes from: the file's
        path, its SHA-256, finished epochs, and on which data set, protocol and stream it was
        pre-trained; None for what the file, or a random encoder, does not say.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: a truncated, foreign or mismatched one.
    """
    if pretrained == RANDOM:
        model = _random_encoder(random_config or encoder_config(), seed, report)
        return model, {"path": RANDOM, "sha256": None, "epochs": None, "data": None}
    path = find(pretrained, report)
    payload = read(path)
    method = to_method(payload, path)
    _check_inputs(method.encoder.config, path)
    epochs = payload.get("epoch")
    done = "an unknown number of" if epochs is None else epochs
    report(f"encoder of {path}: {method.encoder.config.described}, {done} epochs of pre-training")
    source = {"path": str(path), "sha256": file_sha256(path), "epochs": epochs}
    return method.eval(), source | {"data": payload.get("data")}


def _check_inputs(config: EncoderConfig, path: Path) -> None:
    """Refuse an encoder of clips of another layout."""
    needed = (EncoderConfig.time_features, EncoderConfig.space_features)
    if (config.time_features, config.space_features) != needed:
        raise ValueError(
            f"{path} does not fit: it reads {config.time_features} and {config.space_features} "
            f"features, clips have {needed[0]} and {needed[1]}"
        )


def _random_encoder(config: EncoderConfig, seed: int | None, report: Callable[[str], None]) -> HiCo:
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        model = HiCo(config, ContrastConfig(projection_size=1, queue_size=1))
    report(f"RANDOM encoder, not pre-trained: {config.described}, seed {seed}")
    return model.eval()


def fingerprint(module: nn.Module) -> str:
    """SHA-256 over names and values of all parameters and buffers: equal only if nothing moved."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def make_optimizer(
    method: Method, learning_rate: float, momentum: float, weight_decay: float
) -> torch.optim.SGD:
    """SGD over what a method learns, in the order in which checkpoints number it."""
    learned = method.learned()
    return torch.optim.SGD(
        [learned[name] for name in _numbered(method) if name in learned],
        learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        fused=True,
    )


def _numbered(method: Method) -> list[str]:
    """The parameters that a checkpoint's optimiser numbers.

    The published one numbers the key encoder's too, which come last and never have state.
    """
    return optimizer_parameters(method) if holds(method) else list(method.learned())


def set_learning_rate(optimizer: torch.optim.SGD, rate: float) -> None:
    """Change the rate in place; one that lies on a device, as a recorded step needs it, stays."""
    for group in optimizer.param_groups:
        if torch.is_tensor(group["lr"]):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def pack(method: Method, optimizer: torch.optim.SGD, epoch: int, **extra: Payload) -> Payload:
    """Put a run of so many finished epochs into what `save_whole` writes.

    That is the published layout, or ours where it cannot hold the run, and `extra` entries.
    """
    published = holds(method)
    state = optimizer.state_dict()
    group = dict(state["param_groups"][0])
    numbers = list(range(len(_numbered(method))))
    group |= {"params": numbers, "lr": _plain_number(group["lr"]), "fused": None}
    payload = {
        "epoch": epoch,
        "state_dict": to_published(method) if published else method.state_dict(),
        "optimizer": {"state": state["state"], "param_groups": [group]},
        "layout": PUBLISHED if published else OWN,
        "method": method.name,
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": numpy.__version__,
        },
    }
    return payload | method.settings | extra


def _plain_number(rate: float | torch.Tensor) -> float:
    """A rate as it was given: of a float32 on a device the shortest number that rounds to it."""
    return float(str(rate.cpu().numpy())) if torch.is_tensor(rate) else rate


def restore_optimizer(optimizer: torch.optim.SGD, payload: Payload, path: Path) -> None:
    """Give the optimiser its momentum back, in place; rates and decay stay as the options say.

    Raises:
        ValueError: no optimiser in the payload, or one of other parameters.
    """
    parameters = optimizer.param_groups[0]["params"]
    try:
        buffers = payload["optimizer"]["state"]
        momentum = [buffers[i]["momentum_buffer"] for i in range(len(parameters))]
        fits = all(
            m.shape == p.shape and m.dtype == p.dtype and torch.isfinite(m).all()
            for m, p in zip(momentum, parameters, strict=True)
        )
    except (KeyError, TypeError, AttributeError, IndexError):
        fits = False
    if not fits:
        raise ValueError(f"{path} holds no optimiser of this model; --resume needs one")
    for parameter, buffer in zip(parameters, momentum, strict=True):
        optimizer.state[parameter]["momentum_buffer"] = buffer.to(parameter.device).clone()


def load_into(method: Method, data: Payload, payload: Payload, path: Path) -> None:
    """Give a method that is to see `data` the weights of a checkpoint of such a method, in place.

    What the payload does not say of its data and options may be anything.

    Raises:
        ValueError: names the first difference.
    """
    told = [(payload, {"method": method.name})]
    told += [(payload.get(part, {}), values) for part, values in method.settings.items()]
    for before, values in [*told, (payload.get("data", {}), data)]:
        for name, value in values.items():
            if name in before and before[name] != value:
                raise ValueError(
                    f"--resume {path} was trained with {name} {before[name]}, not {value}; "
                    "give the same option or start a new run"
                )
    state = to_method(payload, path).state_dict()
    try:
        check_fit(state, method.state_dict())
    except ValueError as error:
        raise ValueError(
            f"--resume {path}: {error}; give the encoder and queue options it was trained with"
        ) from None
    method.load_state_dict(state)
