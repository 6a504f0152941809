"""A frozen encoder for other projects, loaded by torch.hub.

It is used as `torch.hub.load(FOLDER, "hico", source="local", checkpoint=FILE).embed(clip)`, with a
clip of (T, 25, 3) or (2, T, 25, 3) metres, a file, or a list of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tools.evaluation.recording import FrozenEncoder

dependencies = ["torch", "numpy"]
"""What torch.hub looks for before it loads anything."""


def hico(
    checkpoint: str | Path,
    stream: str | None = None,
    device: str = "auto",
    joints: str | Path | list | None = None,
    unit: str | float | None = None,
) -> FrozenEncoder:
    """Load the encoder of a checkpoint, ours or a published one.

    Args:
        checkpoint: a file, or "random" for an untrained encoder.
        stream: "joint", "motion" or "bone"; None for what it was trained on, joint where the
            checkpoint does not say.
        device: "auto", "cpu", "cuda" or "cuda:N".
        joints: which joints of clips stand for the second Kinect's 25: the name of a map, a list,
            or a file, as `tools.predict --joints` takes them; None: they are these 25.
        unit: length of 1: "m", "cm", "mm", "inch" or metres; None: m, in .bvh files cm.

    Raises:
        FileNotFoundError: no such checkpoint or file of joints.
        ValueError: a damaged or foreign one, or no such stream, device, joints or unit.
    """
    from dataset.custom import read_joints
    from dataset.protocols import STREAMS
    from tools.checkpoint import load_encoder
    from tools.evaluation.recording import FrozenEncoder
    from tools.prepare.formats.custom import Reader
    from tools.runtime import pick_device

    if stream not in (None, *STREAMS):
        raise ValueError(f"stream {stream}: known are {', '.join(STREAMS)}")
    method, provenance = load_encoder(str(checkpoint), seed=0, report=lambda line: None)
    stream = stream or (provenance["data"] or {}).get("stream", "joint")
    reader = Reader.of(read_joints(joints or {}, unit))
    return FrozenEncoder(method.to(pick_device(device)), stream, reader)
