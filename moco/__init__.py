"""The method: hierarchical encoder, five heads, five queues, momentum and the contrast.

Names load when they are used, so that reading `moco.config` loads no torch.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "ContrastConfig": "moco.config",
    "EncoderConfig": "moco.config",
    "encoder_config": "moco.config",
    "Features": "moco.encoders.hierarchical",
    "Views": "moco.encoders.hierarchical",
    "Levels": "moco.heads",
    "HiCo": "moco.hico",
    "Method": "moco.method",
    "SequenceEncoder": "moco.encoders.sequence",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name on its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module moco has no attribute {name}")
    return getattr(import_module(_HOMES[name]), name)
