"""Streams and layouts against the published answers and plain loops."""

import numpy as np
import pytest
import torch

from dataset.skeleton import PARENTS
from dataset.streams import to_stream
from dataset.views import lay_out
from tests.support.paths import GOLDENS

GOLDEN = np.load(GOLDENS / "augment.npz")


@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
def test_layouts_agree(stream):
    clip = torch.from_numpy(GOLDEN["crop/output"][int(GOLDEN["stream/input_crop_output_index"])])
    views = lay_out(to_stream(clip.permute(1, 3, 2, 0)[None], stream))
    for got, layout in ((views.time, "time_major"), (views.space, "space_major")):
        expected = torch.from_numpy(GOLDEN[f"stream/{stream}/{layout}"])
        torch.testing.assert_close(got[0], expected, atol=1e-5, rtol=0)


def test_streams_equal_plain_loops():
    clips = torch.randn(2, 5, 2, 25, 3)
    motion, bone = to_stream(clips, "motion"), to_stream(clips, "bone")
    for t in range(5):
        expected = clips[:, t + 1] - clips[:, t] if t < 4 else torch.zeros(2, 2, 25, 3)
        assert torch.equal(motion[:, t], expected)
    for v in range(25):
        assert torch.equal(bone[:, :, :, v], clips[:, :, :, v] - clips[:, :, :, PARENTS[v]])


def test_an_unknown_stream_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="stream speed: choose one of joint, motion, bone"):
        to_stream(torch.zeros(1, 2, 2, 25, 3), "speed")
