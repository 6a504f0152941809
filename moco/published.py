"""To and from the names, shapes and column order of the published checkpoints.

Facts of the published layout: queues are (D, K) columns, ours (K, D) rows; the temporal and the
spatial branch lie side by side under one prefix; the key encoder's parameters are numbered by the
optimiser although they never have state.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from moco.config import ENCODERS, ContrastConfig, EncoderConfig, encoder_config
from moco.hico import HiCo
from moco.method import Method

_LEVELS = {  # our name to that of its queue and of its head
    "clip": ("c", "clip"),
    "part": ("p", "part"),
    "temporal": ("t", "td"),
    "spatial": ("s", "sd"),
    "instance": ("i", "instance"),
}
_MODULES = (
    {"embedding.": "embedding."},
    {"downsample.conv.": "downsample.conv.dw_conv.", "downsample.norm.": "downsample.norm."},
    {"sequence.rnn.": "encoder.", "sequence.layers.": "encoder.layers."},
)


def _beginnings() -> Iterator[tuple[str, str]]:
    """How our names and the published ones begin, in the published order."""
    for level, (queue, _) in _LEVELS.items():
        yield f"queues.{level}.keys", f"{queue}_queue"
        yield f"queues.{level}.pointer", f"{queue}_queue_ptr"
    for network, short in (("query", "q"), ("key", "k")):
        for modules in _MODULES:
            for branch, letter in (("time", "t"), ("space", "s")):
                for ours, theirs in modules.items():
                    place = f"encoder_{short}.hi_encoder.{letter}_{theirs}"
                    yield f"{network}.encoder.{branch}.{ours}", place
        for level, (_, head) in _LEVELS.items():
            yield f"{network}.heads.{level}.", f"encoder_{short}.{head}_proj."


def holds(method: Method) -> bool:
    """Whether the published layout can hold a model: HiCo as published, an encoder it knows."""
    plain = isinstance(method, HiCo) and not method.has_neighbours
    return plain and ENCODERS[method.config.kind].published


def published_names(model: HiCo) -> dict[str, str]:
    """Published name to ours, for every key of the state, in the published order.

    Raises:
        ValueError: a key that the published layout has no name for.
    """
    state = list(model.state_dict())
    names = {
        theirs + name.removeprefix(ours): name
        for ours, theirs in _beginnings()
        for name in state
        if name.startswith(ours)
    }
    if left := set(state).difference(names.values()):
        raise ValueError(f"the published layout has no name for {min(left)}")
    return names


def to_published(model: HiCo) -> dict[str, Tensor]:
    """The whole model in the published layout.

    Args:
        model: any HiCo.

    Returns:
        Published name to tensor, in the published order; queues as (D, columns), pointers (1,).
        Parameters share memory with the model, queues do not.
    """
    state = model.state_dict()
    return {
        published: state[ours].T.contiguous() if published.endswith("_queue") else state[ours]
        for published, ours in published_names(model).items()
    }


def optimizer_parameters(model: HiCo) -> list[str]:
    """Our parameter names in the order in which the published optimiser numbers them."""
    parameters = dict(model.named_parameters())
    return [ours for ours in published_names(model).values() if ours in parameters]


def from_published(
    state_dict: Mapping[str, Tensor],
    config: EncoderConfig | None = None,
    num_heads: int = 4,
    **contrast: Any,
) -> HiCo:
    """Build the model that a published state belongs to.

    Args:
        state_dict: published names to tensors. If it has no key encoder at all, the key network
            starts as a copy of the query network.
        config: kind and sizes, where they are known; None reads them off keys and shapes.
        num_heads: attention heads, which cannot be read off a shape.
        contrast: what is known of the ContrastConfig. Sizes are read off shapes otherwise; the rest
            is not part of the state and takes the published values.

    Returns:
        HiCo in train mode on the CPU, with copies of the tensors.

    Raises:
        ValueError: keys or shapes that no HiCo has; the message names the first few.
    """
    state = _with_key_network(state_dict)
    try:
        config = _read_config(state, num_heads) if config is None else config
        projection_size, queue_size = state["i_queue"].shape
    except (KeyError, ValueError, IndexError) as error:
        raise ValueError(f"not a HiCo state: {error} is missing or misshapen") from None
    contrast = {"projection_size": projection_size, "queue_size": queue_size} | contrast
    with torch.device("meta"):  # shapes only: no random draws, no memory
        model = HiCo(config, ContrastConfig(**contrast))
    check_fit(state, to_published(model))
    ours = {
        name: (state[published].T if published.endswith("_queue") else state[published])
        .detach()
        .clone(memory_format=torch.contiguous_format)
        for published, name in published_names(model).items()
    }
    model.load_state_dict(ours, assign=True)
    return model


def _with_key_network(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if any(name.startswith("encoder_k.") for name in state):
        return dict(state)
    query = {name: tensor for name, tensor in state.items() if name.startswith("encoder_q.")}
    return {**state, **{n.replace("encoder_q.", "encoder_k.", 1): t for n, t in query.items()}}


def _read_config(state: Mapping[str, Tensor], num_heads: int) -> EncoderConfig:
    """Kind and sizes of the encoder, off the keys and shapes of a published state."""
    time, space = "encoder_q.hi_encoder.t_", "encoder_q.hi_encoder.s_"
    hidden_size, time_features = state[time + "embedding.0.weight"].shape
    gates = state.get(time + "encoder.weight_ih_l0")
    kind, own = "Transformer", {"num_heads": num_heads}
    if gates is not None:
        kind, own = {3: "GRU", 4: "LSTM"}.get(2 * gates.shape[0] // hidden_size, "GRU"), {}
    numbers = re.compile(re.escape(time) + r"encoder\.(?:layers\.|weight_ih_l)(\d+)(?:\..*)?$")
    layers = {match[1] for match in map(numbers.match, state) if match}
    return encoder_config(
        kind,
        hidden_size=hidden_size,
        num_layers=max(1, len(layers)),
        granularity=state["encoder_q.td_proj.0.weight"].shape[1] // hidden_size,
        time_features=time_features,
        space_features=state[space + "embedding.0.weight"].shape[1],
        **own,
    )


def check_fit(given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Compare names and shapes of a state with those that it should have.

    Raises:
        ValueError: names the first three that differ.
    """
    missing = sorted(expected.keys() - given.keys())
    surplus = sorted(given.keys() - expected.keys())
    wrong = [
        f"{name} is {tuple(given[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in expected
        if name in given and given[name].shape != expected[name].shape
    ]
    faults = [f"missing {name}" for name in missing] + [f"unknown {name}" for name in surplus]
    faults += wrong
    if faults:
        more = f" (+{len(faults) - 3} more)" if len(faults) > 3 else ""
        raise ValueError(f"{'; '.join(faults[:3])}{more}")
