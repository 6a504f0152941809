"""The published figures that ours are set beside, as data, each with its source.

Only figures that were read where they are said to come from are here; what is merely remembered is
left out, however often it is quoted. Every published figure is that of the best test epoch.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from options.reproduce import Split

XSUB60, XVIEW60 = ("ntu60", "cross_subject"), ("ntu60", "cross_view")
XSUB120, XSET120 = ("ntu120", "cross_subject"), ("ntu120", "cross_setup")
PKU1, PKU2 = ("pku_part1", "cross_subject"), ("pku_part2", "cross_subject")
NTU = (XSUB60, XVIEW60, XSUB120, XSET120)
EVERY_STREAM = "joint+motion+bone"

HICO = "Dong et al., AAAI 2023 (arXiv:2212.02082)"
SECOND_HAND = "second-hand"


@dataclass(frozen=True)
class Figure:
    """One published accuracy."""

    mode: str  # a key of EVALUATIONS
    method: str  # who reports it; "HiCo" is what this project reproduces
    dataset: str  # that is scored
    protocol: str
    top1: float  # percent
    source: str  # where it was read
    stream: str = "joint"  # of ours that it stands beside; several joined by "+"
    encoder: str = ""  # of HiCo's own figures
    note: str = ""  # what to know when comparing


def _row(
    mode: str, method: str, splits: Iterable[Split], top1: Iterable[float], source: str, **more: str
) -> Iterator[Figure]:
    for split, figure in zip(splits, top1, strict=True):
        yield Figure(mode, method, *split, figure, source, **more)


def _streams(
    method: str, split: Split, top1: tuple[float, ...], source: str, note: str
) -> Iterator[Figure]:
    """Linear probes of joint, motion and bone, in this order, and their ensemble."""
    for stream, figure in zip(("joint", "motion", "bone"), top1[:3], strict=True):
        yield from _row("linear", method, (split,), (figure,), source, stream=stream)
    yield from _row("ensemble", method, (split,), top1[3:], source, stream=EVERY_STREAM, note=note)


_IMAGES = f"{SECOND_HAND}: tables in the READMEs of USDRL and FoundSkelModel"
_AIMCLR = "README of Levigty/AimCLR"
_HICLR = "README of JHang2020/HiCLR"
_CROSSCLR = "README of LinguoLi/CrosSCLR"
_UMURL = "README of HuiGuanLab/UmURL"
_AGREEING = f"{SECOND_HAND}: three tables that agree"
_SHOWN = f"{SECOND_HAND}: a table shown in its README"
_CHOSEN_WEIGHTS = "weights chosen on the test part"
_FIXED_WEIGHTS = "weights: joint 0.6, motion 0.4, bone 0.6"

FIGURES: tuple[Figure, ...] = (
    *_row("linear", "HiCo", NTU, (80.6, 88.6, 72.5, 73.8), HICO, encoder="GRU"),
    *_row("linear", "HiCo", NTU, (81.4, 88.8, 73.7, 74.5), HICO, encoder="LSTM"),
    *_row("linear", "HiCo", NTU, (81.1, 88.6, 72.8, 74.1), HICO, encoder="Transformer"),
    *_row("linear", "HiCo", (PKU2,), (49.4,), _AGREEING, encoder="Transformer"),
    *_row("linear", "CMD", NTU, (79.8, 86.9, 70.3, 71.5), _IMAGES),
    *_row("ensemble", "CMD", NTU, (84.1, 90.9, 74.7, 76.1), _IMAGES, stream=EVERY_STREAM),
    *_streams("AimCLR", XSUB60, (74.34, 68.68, 71.87, 79.18), _AIMCLR, _FIXED_WEIGHTS),
    *_streams("AimCLR", XVIEW60, (79.68, 71.83, 77.02, 84.02), _AIMCLR, _FIXED_WEIGHTS),
    *_streams("AimCLR", PKU1, (83.43, 72.00, 82.03, 87.79), _AIMCLR, _FIXED_WEIGHTS),
    *_streams("HiCLR", XSUB60, (77.30, 70.29, 75.59, 80.94), _HICLR, _CHOSEN_WEIGHTS),
    *_row(
        "ensemble",
        "CrosSCLR",
        NTU,
        (77.8, 83.4, 67.9, 66.7),
        _CROSSCLR,
        stream=EVERY_STREAM,
        note="one model of three encoders",
    ),
    *_row("knn", "ISC", NTU, (62.5, 82.6, 50.6, 52.3), _SHOWN),
    *_row(
        "knn",
        "UmURL",
        NTU,
        (72.0, 88.9, 59.5, 62.2),
        _UMURL,
        note="one model reads joint, motion and bone",
    ),
    *_row("knn", "SCD-Net", (XSUB60,), (76.16,), "log in cong-wu/SCD-Net"),
    *_row("knn", "STARS", NTU, (79.9, 88.6, 67.6, 67.7), "README of TaatiTeam/STARS"),
    *_row("finetune", "MAMP", NTU, (93.0, 97.5, 89.8, 91.5), "README of maoyunyao/MAMP"),
    *_row("finetune", "STARS", NTU, (93.0, 97.5, 89.9, 91.4), "README of TaatiTeam/STARS"),
)
"""Semi-supervised learning and transfer have no figure here: none was found at its source."""
