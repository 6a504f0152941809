"""The method: hierarchical encoder, five heads, five queues, momentum and the contrast."""

from moco.encoder import EncoderConfig, Views
from moco.heads import Levels
from moco.hico import HiCo

__all__ = ["EncoderConfig", "HiCo", "Levels", "Views"]
