"""Options that say how a recording of one's own is read."""

from dataclasses import dataclass

from dataset.skeleton import MAX_FRAMES
from options.parser import any_text, one_of, option


@dataclass(frozen=True)
class ReadingOptions:
    """How recordings are read that no prepared data set holds; `dataset.custom` reads the words."""

    joints: str | None = option(
        None,
        read=any_text,
        metavar="MAP",
        help="which joints of .npy and .bvh files stand for our 25: kinect25 | h36m17 | cmu | ..., "
        "as tools.prepare custom --help lists them, or FILE.json with a list of 25 numbers or "
        "names, or a dataset.json",
        shown="as the dataset.json in the data path says; else they are our 25",
    )
    unit: str | None = option(
        None,
        read=any_text,
        metavar="UNIT",
        help="length of 1 in .npy and .bvh files: m | cm | mm | inch | metres",
        shown="as the dataset.json of the joints says; else m in .npy, cm in .bvh",
    )
    cut: str | None = option(
        None,
        read=one_of(("head", "centre")),
        metavar="NAME",
        help=f"what is kept of .npy and .bvh files of more than {MAX_FRAMES} frames: head | centre",
        shown="none; they are refused",
    )
