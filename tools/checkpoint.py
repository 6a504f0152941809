"""Checkpoints: written whole or not at all, in the published layout, read with suspicion.

A checkpoint is `{'epoch': finished epochs, 'state_dict': …, 'optimizer': …}` under the published
names, so the published scripts read ours. Ours add `config`, `contrast`, `data`, `progress` and
`random`, which an exact resume needs and the published scripts ignore.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from moco import EncoderConfig, HiCo
from moco.published import from_published, optimizer_parameters, to_published
from tools.files import write_whole

Payload = dict[str, Any]
RANDOM = "random"
"""In place of a path: score a random encoder on purpose."""


def save_whole(payload: Payload, path: Path | str) -> None:
    """Write a file that appears under its name only when all of it is on disk.

    Args:
        payload: plain values and tensors.
        path: its folder is made if need be.
    """
    write_whole(Path(path), lambda file: torch.save(payload, file))


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

    Args:
        path: a file.

    Returns:
        The payload, tensors on the CPU; `state_dict` is there.

    Raises:
        ValueError: truncated, not a checkpoint, or without a `state_dict`.
    """
    with path.open("rb") as file:
        try:
            payload = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises what the damage happens to trigger
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise ValueError(
                f"{path} is not a readable checkpoint ({reason}); copy it again or choose another"
            ) from None
    state = payload.get("state_dict") if isinstance(payload, dict) else None
    if not isinstance(state, dict) or not all(torch.is_tensor(x) for x in state.values()):
        raise ValueError(f"{path} holds no state_dict of tensors; it is not a HiCo checkpoint")
    return payload


def to_model(payload: Payload, path: Path) -> HiCo:
    """Build the model of a checkpoint, ours or published.

    Args:
        payload: from `read`.
        path: for messages.

    Returns:
        HiCo on the CPU. Attention heads, momentum and temperature are not in the published layout;
        without our extra entries they take the published values.

    Raises:
        ValueError: keys or shapes that no HiCo has.
    """
    contrast = payload.get("contrast", {})
    num_heads = payload.get("config", {}).get("num_heads", EncoderConfig.num_heads)
    try:
        model = from_published(payload["state_dict"], num_heads=num_heads, **contrast)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} does not fit: {error}; it is not a HiCo checkpoint") from None
    broken = [name for name, x in payload["state_dict"].items() if not torch.isfinite(x).all()]
    if broken:
        raise ValueError(f"{path}: {broken[0]} is not finite; choose an earlier checkpoint")
    return model


def load_encoder(
    pretrained: str,
    *,
    random_config: EncoderConfig | None = None,
    seed: int | None = None,
    report: Callable[[str], None] = print,
) -> tuple[HiCo, Payload]:
    """Load what probe and retrieval score.

    Args:
        pretrained: a checkpoint, whose encoder kind and sizes count; or "random".
        random_config: kind and sizes of a random encoder.
        seed: of a random encoder.
        report: is told what was loaded.

    Returns:
        HiCo in eval mode on the CPU, and what is known of where it comes from: the checkpoint's
        path, its SHA-256, finished epochs, and on which data set, protocol and stream it was
        pre-trained; None for what the file, or a random encoder, does not say.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: a truncated, foreign or mismatched one.
    """
    if pretrained == RANDOM:
        model = _random_encoder(random_config or EncoderConfig(), seed, report)
        return model, {"path": RANDOM, "sha256": None, "epochs": None, "data": None}
    path = find(pretrained, report)
    payload = read(path)
    model = to_model(payload, path)
    epochs = payload.get("epoch")
    done = "an unknown number of" if epochs is None else epochs
    report(f"encoder of {path}: {_describe(model.config)}, {done} epochs of pre-training")
    source = {"path": str(path), "sha256": file_sha256(path), "epochs": epochs}
    return model.eval(), source | {"data": payload.get("data")}


def _random_encoder(config: EncoderConfig, seed: int | None, report: Callable[[str], None]) -> HiCo:
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        model = HiCo(config, projection_size=1, queue_size=1)
    report(f"RANDOM encoder, not pre-trained: {_describe(config)}, seed {seed}")
    return model.eval()


def _describe(config: EncoderConfig) -> str:
    return (
        f"{config.kind}, hidden size {config.hidden_size}, {config.num_layers} layer(s), "
        f"granularity {config.granularity}"
    )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def fingerprint(module: nn.Module) -> str:
    """SHA-256 over names and values of all parameters and buffers: equal only if nothing moved."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def describe_model(model: HiCo) -> Payload:
    """What the published layout does not say of a model: `config` and `contrast`."""
    contrast = {
        "momentum": model.momentum,
        "temperature": model.temperature,
        "queue_wrap": model.queue_wrap,
    }
    return {"config": asdict(model.config), "contrast": contrast}


def make_optimizer(
    model: HiCo, learning_rate: float, momentum: float, weight_decay: float
) -> torch.optim.SGD:
    """SGD over the query network, parameters numbered as the published optimiser numbers them."""
    parameters = dict(model.named_parameters())
    order = [name for name in optimizer_parameters(model) if parameters[name].requires_grad]
    return torch.optim.SGD(
        [parameters[name] for name in order],
        learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        fused=True,
    )


def set_learning_rate(optimizer: torch.optim.SGD, rate: float) -> None:
    """Change the rate in place; one that lies on a device, as a recorded step needs it, stays."""
    for group in optimizer.param_groups:
        if torch.is_tensor(group["lr"]):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def pack(model: HiCo, optimizer: torch.optim.SGD, epoch: int, **extra: Payload) -> Payload:
    """Put a run into the published layout.

    Args:
        model: its state.
        optimizer: from `make_optimizer`.
        epoch: finished epochs.
        extra: our own entries beside the published ones.

    Returns:
        What `save_whole` writes.
    """
    state = optimizer.state_dict()
    group = dict(state["param_groups"][0])
    # The published optimiser also numbers the key encoder's parameters, which never have state.
    numbers = list(range(len(optimizer_parameters(model))))
    group |= {"params": numbers, "lr": _plain_number(group["lr"]), "fused": None}
    published = {"state": state["state"], "param_groups": [group]}
    payload = {"epoch": epoch, "state_dict": to_published(model), "optimizer": published}
    return payload | describe_model(model) | extra


def _plain_number(rate: float | torch.Tensor) -> float:
    """A rate as it was given: of a float32 on a device the shortest number that rounds to it."""
    return float(str(rate.cpu().numpy())) if torch.is_tensor(rate) else rate


def restore_optimizer(optimizer: torch.optim.SGD, payload: Payload, path: Path) -> None:
    """Give the optimiser its momentum back; rates and decay stay as the options say.

    Args:
        optimizer: from `make_optimizer`, in place.
        payload: from `read`, ours or published.
        path: for messages.

    Raises:
        ValueError: no optimiser, or one of other parameters.
    """
    parameters = optimizer.param_groups[0]["params"]
    try:
        buffers = payload["optimizer"]["state"]
        momentum = [buffers[i]["momentum_buffer"] for i in range(len(parameters))]
        fits = all(m.shape == p.shape for m, p in zip(momentum, parameters, strict=True))
    except (KeyError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise ValueError(f"{path} holds no optimiser of this model; --resume needs one")
    for parameter, buffer in zip(parameters, momentum, strict=True):
        optimizer.state[parameter]["momentum_buffer"] = buffer.to(parameter.device).clone()
