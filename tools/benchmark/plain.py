"""The plain side of the comparison, brought in only when it is needed."""

import importlib
from types import ModuleType


def oracle(name: str) -> ModuleType:
    """Import one module of tests/oracles.

    It comes late and by name because the plain side is the tests' oracle: a second, slow
    implementation that judges the fast one and is never shipped beside it.

    Args:
        name: "augment", "load", "model", "step" or "prepare".

    Returns:
        The module.

    Raises:
        FileNotFoundError: the project's tests are not at hand.
    """
    try:
        return importlib.import_module(f"tests.oracles.{name}")
    except ModuleNotFoundError as error:
        raise FileNotFoundError(
            f"no {error.name}, the plain side; run python -m tools.benchmark in the folder of a "
            "whole clone of the project"
        ) from None
