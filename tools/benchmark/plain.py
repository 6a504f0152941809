"""The plain side of the comparison, brought in only when it is needed."""

from importlib import import_module
from types import ModuleType
from typing import Any

from moco import HiCo
from moco.published import to_published


def oracle(name: str) -> ModuleType:
    """Import one module of tests/oracles by its name.

    It comes late because the plain side is the tests' oracle: a second, slow implementation that
    judges the fast one and is never shipped beside it.

    Raises:
        FileNotFoundError: the project's tests are not at hand.
    """
    try:
        return import_module(f"tests.oracles.{name}")
    except ModuleNotFoundError as error:
        raise FileNotFoundError(
            f"no {error.name}, the plain side; run python -m tools.benchmark in the folder of a "
            "whole clone of the project"
        ) from None


def plain_model(model: HiCo) -> Any:
    """The oracle's model in the same state, so that both sides do the same sums."""
    config, contrast = model.config, model.contrast
    plain = oracle("model").PlainHiCo(
        config.kind,
        hidden_size=config.hidden_size,
        num_heads=getattr(config, "num_heads", 0),  # of a Transformer only
        num_layers=config.num_layers,
        granularity=config.granularity,
        projection_size=contrast.projection_size,
        queue_size=contrast.queue_size,
        momentum=contrast.momentum,
        temperature=contrast.temperature,
    )
    plain.load_state_dict(to_published(model))
    return plain
