"""The method: hierarchical encoder, five heads, five queues, momentum and the contrast."""

from moco.config import EncoderConfig
from moco.encoder import Views
from moco.heads import Levels
from moco.hico import HiCo

__all__ = ["EncoderConfig", "HiCo", "Levels", "Views"]
